"""Learning from people (Experiments 5 to 12): the recipe, its batches and losses, and what is fitted afterwards."""
