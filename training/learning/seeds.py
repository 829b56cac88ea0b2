"""One generator for each purpose and epoch, so that no epoch depends on what another has drawn."""

import torch

# New ones go last, so that the seeds of the others stay.
PURPOSES = ("initialise", "order", "augment", "dropout", "people", "swap")
MAX_PURPOSES = 11


def generator_for(run_seed: int, purpose: str, epoch: int) -> torch.Generator:
    """A new generator for that purpose in that epoch of a run."""
    return torch.Generator().manual_seed(seed_for(run_seed, purpose, epoch))


def seed_for(run_seed: int, purpose: str, epoch: int) -> int:
    """A seed for each purpose and epoch, so that none depends on how many numbers another has drawn."""
    return run_seed * 1_000_003 + epoch * MAX_PURPOSES + PURPOSES.index(purpose)
