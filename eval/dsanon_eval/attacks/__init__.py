"""What attackers try: whom does a released face betray?"""
