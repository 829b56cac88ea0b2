"""Learning from pairs (Experiments 1 to 4): the recipe and its augmentation."""
