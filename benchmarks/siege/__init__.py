"""A siege: a list of attacks on a real service, and what a good client sees before, during and after each."""
