"""What a release is still good for: detection, realism, steadiness."""
