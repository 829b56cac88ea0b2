"""The recipe that learns from people (Experiment 5)."""
