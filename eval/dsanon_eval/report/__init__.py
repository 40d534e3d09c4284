"""What an audit shows to people: chapters, plots, pictures, and the page."""
