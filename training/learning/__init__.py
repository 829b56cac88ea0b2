"""One run, whatever it learns from: experiments, the loop, its state, losses."""
