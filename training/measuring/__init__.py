"""Measurements of finished checkpoints."""
