"""Trains networks on labelled faces and writes their checkpoints."""
