"""The HTTP service: two photographs in, one decision out."""
