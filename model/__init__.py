"""The network and everything that must be identical in training and in serving."""

__version__ = "0.1.0"
