"""Training runs: experiments, the loop that all of them share, its state, the grid search."""
