"""The recipe that learns from pairs (Experiments 1 to 4)."""
