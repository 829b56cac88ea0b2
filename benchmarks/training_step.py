"""`python -m benchmarks.training_step`: one full training step, compared with a matrix product.

A step draws and augments a batch, runs forward and backward, and updates the weights with Adam.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from statistics import median

import torch

from benchmarks.arithmetic import step_flop
from benchmarks.command import new_parser, run_benchmark
from benchmarks.machine import PRODUCT_FLOP, matrix_product
from benchmarks.record import Figures
from benchmarks.timing import Seconds, Work, against_product, interleave, spread
from model.networks.device import select_device
from training.data.album import Album, PairSet
from training.data.datasets import PairData
from training.learning.experiments import PAIR_EXPERIMENTS
from training.learning.loop import take_step
from training.pairs import PairExperiment, PairRecipe

PRODUCT, BATCH, STEP = "product", "batch", "step"
# A step takes many times as long as a product, so a round times several products.
PRODUCTS_PER_ROUND = 8


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    parser = new_parser("training-step", "benchmarks.training_step", "Times one full training step.", rounds=7)
    parser.add_argument("--experiment", default="experiment-2", choices=PAIR_EXPERIMENTS)
    parser.add_argument("--default-layout", action="store_true", help="torch's default layout, not channels_last")
    return run_benchmark(parser, arguments, _measure)


def synthetic_data(experiment: PairExperiment) -> PairData:
    """Crops of noise, and as many pairs as a batch has."""
    pairs, side = experiment.batch_pairs, experiment.preprocessing.side_px
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (2 * pairs, side, side), dtype=torch.uint8, generator=generator)
    keys = [(f"Person_{number}", f"Person_{number}_0001") for number in range(2 * pairs)]
    numbers = torch.arange(pairs)
    chosen = PairSet(left=numbers, right=numbers + pairs, same=(numbers % 2).float())
    album = Album(keys=keys, pixels=pixels, sha256="", preprocessing=experiment.preprocessing)
    return PairData(album=album, training=chosen, validation=chosen)


def recipe_in(layout: torch.memory_format, experiment: PairExperiment, device: torch.device) -> PairRecipe:
    """The experiment's recipe at the start of a run, on noise, with this memory format."""
    recipe = experiment.recipe(synthetic_data(experiment), device)
    recipe.network.to(memory_format=layout)
    return recipe


def full_step(experiment: PairExperiment, recipe: PairRecipe, device: torch.device) -> Callable[[], None]:
    """A function that takes one step with training's own functions, which changes the network."""

    def run() -> None:
        for batch in recipe.batches(1):
            take_step(experiment, recipe, batch, device)

    return run


def time_step(
    experiment: PairExperiment,
    device: torch.device,
    rounds: int,
    layout: torch.memory_format,
    products_per_round: int = PRODUCTS_PER_ROUND,
) -> Seconds:
    """Seconds for the matrix product, for drawing and augmenting a batch, and for a full step."""
    recipe = recipe_in(layout, experiment, device)
    works = {
        PRODUCT: Work(run=matrix_product(device), calls=products_per_round),
        BATCH: Work(run=lambda: list(recipe.batches(1))),
        STEP: Work(run=full_step(experiment, recipe, device)),
    }
    return interleave(works, rounds, device)


def step_figures(experiment: PairExperiment, layout: torch.memory_format, seconds: Seconds) -> Figures:
    """The table has one row."""
    images = 2 * experiment.batch_pairs
    flop = images * step_flop(experiment.network)
    typical = median(seconds[STEP])
    return Figures(
        summary={
            "experiment": experiment.name,
            "layout": str(layout).removeprefix("torch."),
            "step_mflop_per_image": step_flop(experiment.network) / 1e6,
            "product_gflop_per_s": PRODUCT_FLOP / median(seconds[PRODUCT]) / 1e9,
            "rounds": len(seconds[STEP]),
        },
        table=[
            {
                "pairs": experiment.batch_pairs,
                "step_s": typical,
                "of_it_batch_s": median(seconds[BATCH]),
                "images_per_s": images / typical,
                "gflop_per_s": flop / typical / 1e9,
                **spread("ratio_to_product", against_product(flop, seconds[STEP], PRODUCT_FLOP, seconds[PRODUCT])),
            }
        ],
    )


def _measure(options: argparse.Namespace) -> Figures:
    experiment = PAIR_EXPERIMENTS[options.experiment]
    layout = torch.contiguous_format if options.default_layout else torch.channels_last
    return step_figures(
        experiment, layout, time_step(experiment, select_device(options.device), options.rounds, layout)
    )


if __name__ == "__main__":
    sys.exit(main())
