"""Learning from people (Experiment 5): the recipe, its batches, augmentation and losses."""
