"""Regions that a person should look at, and what they decide."""
