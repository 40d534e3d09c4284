"""Methods: how a region's pixels are replaced. Classical ones in ``classical``, the generator in ``ciagan``."""
