"""The benchmark of a training step; no test looks at how fast it was."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from benchmarks import training_step
from benchmarks.arithmetic import residual_multiply_adds, step_flop
from benchmarks.machine import PRODUCT_FLOP
from model.networks.siamese import SiameseNetwork
from tests.training.support.small_people import SMALL_PEOPLE
from training.learning.experiment import Experiment
from training.learning.experiments import EXPERIMENT_2, EXPERIMENT_6, PEOPLE_EXPERIMENTS, SMOKE

CPU = torch.device("cpu")
SMALL_EXPERIMENT_6 = replace(SMALL_PEOPLE, name=EXPERIMENT_6.name)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_a_training_step_moves_the_weights_in_the_layout_asked_for(layout: torch.memory_format) -> None:
    recipe = training_step.recipe_in(layout, SMOKE, CPU)
    assert recipe.network.training
    before = {name: tensor.clone() for name, tensor in recipe.network.named_parameters()}
    layouts: list[bool] = []
    assert isinstance(recipe.network, SiameseNetwork)
    for layer in recipe.network.twin:
        layer.register_forward_hook(
            lambda _, __, output: layouts.append(output.is_contiguous(memory_format=torch.channels_last))
        )
    steps = training_step.Steps(SMOKE, recipe, CPU)
    steps.step()
    assert all(not torch.equal(before[name], tensor) for name, tensor in recipe.network.named_parameters())
    assert layouts == [layout == torch.channels_last] * len(recipe.network.twin)


@pytest.mark.parametrize(
    ("experiment", "images"),
    [
        (EXPERIMENT_2, 256),
        (SMALL_EXPERIMENT_6, 2 * (SMALL_PEOPLE.people + SMALL_PEOPLE.virtual + SMALL_PEOPLE.singles)),
    ],
)
def test_every_drawn_batch_is_a_full_one(experiment: Experiment[Any], images: int) -> None:
    steps = training_step.Steps(experiment, training_step.recipe_in(torch.channels_last, experiment, CPU), CPU)
    for _ in range(steps.recipe.batches_in_epoch + 1):
        steps.draw()
        assert steps.images == images


@pytest.mark.parametrize("name", PEOPLE_EXPERIMENTS)
def test_synthetic_people_fit_every_experiment(name: str) -> None:
    experiment = PEOPLE_EXPERIMENTS[name]
    data = training_step.synthetic_data(experiment)
    assert data.album.pixels.shape[1] == experiment.preprocessing.side_px
    assert data.trained_on.tolist() == list(range(training_step.PICTURES))


def test_a_residual_step_has_three_passes_without_the_stems_input() -> None:
    config = EXPERIMENT_6.network
    counts = residual_multiply_adds(config)
    assert step_flop(config) == 2 * (3 * sum(counts.values()) - counts["stem"])


def test_training_step_figures_from_known_seconds() -> None:
    seconds = {"product": [1.0, 1.0], "batch": [0.5, 0.5], "step": [4.0, 8.0]}
    figures = training_step.step_figures(SMOKE, torch.channels_last, 24, seconds)
    [row] = figures.table
    assert (row["images"], row["step_s"], row["of_it_batch_s"], row["images_per_s"]) == (24, 6, 0.5, 4)
    flop = 24 * step_flop(SMOKE.network)
    assert row["gflop_per_s"] == pytest.approx(flop / 6 / 1e9)
    assert row["ratio_to_product_high"] == pytest.approx(flop / 4 / PRODUCT_FLOP)
    assert row["ratio_to_product_low"] == pytest.approx(flop / 8 / PRODUCT_FLOP)
    assert (figures.summary["layout"], figures.summary["precision"]) == ("channels_last", "float32")


def test_a_training_step_is_timed_beside_the_product() -> None:
    steps = training_step.Steps(SMOKE, training_step.recipe_in(torch.channels_last, SMOKE, CPU), CPU)
    seconds = training_step.time_step(steps, 1, products_per_round=1)
    assert {name: len(values) for name, values in seconds.items()} == {"product": 1, "batch": 1, "step": 1}
