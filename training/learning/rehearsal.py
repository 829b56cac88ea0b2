"""How long a run will take, measured before it starts."""

import time
from itertools import islice, pairwise

import torch

from training.learning.experiment import Data, Experiment
from training.learning.loop import made_ahead, take_step

STEPS = 4


def expected_seconds_of_epoch(experiment: Experiment[Data], data: Data, device: torch.device) -> float:
    """The seconds of an epoch, from a few steps and one validation of a recipe that is then thrown away.

    The run itself is not changed: each epoch has its own random numbers. Raises TrainingError as the steps do.
    """
    recipe = experiment.recipe(data, device)
    recipe.state.train()
    times = [time.perf_counter()]
    for batch in islice(made_ahead(recipe.batches(1)), STEPS):
        take_step(experiment, recipe, batch, device)
        times.append(time.perf_counter())
    # The first step is slower, as libraries prepare themselves.
    steps = [later - earlier for earlier, later in pairwise(times)]
    typical = min(steps[1:] or steps)
    started = time.perf_counter()
    recipe.validate()
    return typical * recipe.batches_in_epoch + time.perf_counter() - started
