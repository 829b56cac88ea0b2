"""Bulk work with a checkpoint: embedding folders of photographs, verifying lists of pairs."""
