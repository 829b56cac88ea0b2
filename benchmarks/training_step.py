"""`python -m benchmarks.training_step`: one full training step, compared with a matrix product.

A step draws and augments a batch, runs forward and backward, and updates the weights.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count, islice
from statistics import median
from typing import Any

import torch

from benchmarks.arithmetic import step_flop
from benchmarks.command import new_parser, run_benchmark
from benchmarks.machine import PRODUCT_FLOP, matrix_product
from benchmarks.record import Figures
from benchmarks.timing import Seconds, Work, against_product, interleave, spread
from model.networks.device import select_device
from training.data.album import Album, PairSet
from training.data.datasets import DataSet, PairData, PeopleData
from training.learning.experiment import Batch, Experiment, Recipe
from training.learning.experiments import EXPERIMENTS, PEOPLE_EXPERIMENTS
from training.learning.loop import made_ahead, pinned, take_step
from training.learning.precision import with_precision

PRODUCT, BATCH, STEP = "product", "batch", "step"
# A step takes many times as long as a product, so a round times several products.
PRODUCTS_PER_ROUND = 8
# Half of it is a multiple of every experiment's batch.
PICTURES = 1024
PICTURES_OF_A_PERSON = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    parser = new_parser("training-step", "benchmarks.training_step", "Times one full training step.", rounds=7)
    parser.add_argument("--experiment", default="experiment-2", choices=EXPERIMENTS)
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"],
                        help="of an experiment that leaves the precision open")  # fmt: skip
    parser.add_argument("--default-layout", action="store_true", help="torch's default layout, not channels_last")
    return run_benchmark(parser, arguments, _measure)


def synthetic_data(experiment: Experiment[Any]) -> DataSet:
    """Crops of noise: pairs of them, or half of them of people with several and half of people with one."""
    channels, side = experiment.preprocessing.input_shape
    shape = (PICTURES, side, side, channels) if channels > 1 else (PICTURES, side, side)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    keys = [(f"Person_{number}", f"Person_{number}_0001") for number in range(PICTURES)]
    album = Album(keys=keys, pixels=pixels, sha256="", preprocessing=experiment.preprocessing)
    numbers = torch.arange(PICTURES)
    half = PICTURES // 2
    pairs = PairSet(left=numbers[:half], right=numbers[half:], same=(numbers[:half] % 2).float())
    if experiment.name not in PEOPLE_EXPERIMENTS:
        return PairData(album=album, training=pairs, validation=pairs)
    people = [*numbers[:half].split(PICTURES_OF_A_PERSON), *numbers[half:].split(1)]
    training = {f"{number:04d}": pictures for number, pictures in enumerate(people)}
    return PeopleData(album=album, training=training, held_out={}, validation=pairs)


def recipe_in(layout: torch.memory_format, experiment: Experiment[Any], device: torch.device) -> Recipe:
    """The experiment's recipe at the start of a run, on noise, with this memory format."""
    recipe = experiment.recipe(synthetic_data(experiment), device)
    recipe.state.to(memory_format=layout)
    recipe.state.train()
    return recipe


class Steps:
    """Takes steps with training's own functions, which change the network."""

    def __init__(self, experiment: Experiment[Any], recipe: Recipe, device: torch.device) -> None:
        self.experiment, self.recipe, self.device = experiment, recipe, device
        self._drawn, self._ahead = self._batches(), made_ahead(pinned(self._batches(), device))
        self.images = 0
        """In the last batch."""

    def draw(self) -> None:
        """Draws and augments a batch."""
        for batch in islice(self._drawn, 1):
            self.images = len(batch.images)

    def step(self) -> None:
        """Takes a step, while the next batch is drawn and augmented beside it as in training."""
        for batch in islice(self._ahead, 1):
            take_step(self.experiment, self.recipe, batch, self.device)
            self.recipe.after_step(0)

    def _batches(self) -> Iterator[Batch]:
        return (batch for epoch in count(1) for batch in self.recipe.batches(epoch))


def time_step(steps: Steps, rounds: int, products_per_round: int = PRODUCTS_PER_ROUND) -> Seconds:
    """Seconds for the matrix product, for drawing and augmenting a batch, and for a full step."""
    works = {
        PRODUCT: Work(run=matrix_product(steps.device), calls=products_per_round),
        BATCH: Work(run=steps.draw),
        STEP: Work(run=steps.step),
    }
    return interleave(works, rounds, steps.device)


def step_figures(experiment: Experiment[Any], layout: torch.memory_format, images: int, seconds: Seconds) -> Figures:
    """The table has one row, for batches of that many images."""
    flop = images * step_flop(experiment.network)
    typical = median(seconds[STEP])
    return Figures(
        summary={
            "experiment": experiment.name,
            "precision": experiment.precision,
            "layout": str(layout).removeprefix("torch."),
            "step_mflop_per_image": step_flop(experiment.network) / 1e6,
            "product_gflop_per_s": PRODUCT_FLOP / median(seconds[PRODUCT]) / 1e9,
            "rounds": len(seconds[STEP]),
        },
        table=[
            {
                "images": images,
                "step_s": typical,
                "of_it_batch_s": median(seconds[BATCH]),
                "images_per_s": images / typical,
                "gflop_per_s": flop / typical / 1e9,
                **spread("ratio_to_product", against_product(flop, seconds[STEP], PRODUCT_FLOP, seconds[PRODUCT])),
            }
        ],
    )


def _measure(options: argparse.Namespace) -> Figures:
    device = select_device(options.device)
    experiment = EXPERIMENTS[options.experiment]
    if options.precision != "auto":
        experiment = replace(experiment, precision=options.precision)
    experiment = with_precision(experiment, device)
    layout = torch.contiguous_format if options.default_layout else torch.channels_last
    steps = Steps(experiment, recipe_in(layout, experiment, device), device)
    seconds = time_step(steps, options.rounds)
    return step_figures(experiment, layout, steps.images, seconds)


if __name__ == "__main__":
    sys.exit(main())
