"""Attacks and measurements on releases."""
