"""Networks that measure: recognisers, and feature extractors."""
