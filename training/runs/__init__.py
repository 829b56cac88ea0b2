"""The files in a run's folder: how they are written and read."""
