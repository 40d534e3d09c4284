"""dsanon: anonymize the people in image and video datasets, failing closed."""

__version__ = "0.1.0"
