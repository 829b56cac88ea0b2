"""The benchmark of a training step; no test looks at how fast it was."""

from dataclasses import replace

import pytest
import torch

from benchmarks import training_step
from benchmarks.arithmetic import step_flop
from benchmarks.machine import PRODUCT_FLOP
from training.learning.experiments import EXPERIMENT_2, SMOKE

CPU = torch.device("cpu")


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_a_training_step_moves_the_weights_in_the_layout_asked_for(layout: torch.memory_format) -> None:
    recipe = training_step.recipe_in(layout, SMOKE, CPU)
    assert recipe.network.training
    before = {name: tensor.clone() for name, tensor in recipe.network.named_parameters()}
    layouts: list[bool] = []
    for layer in recipe.network.twin:
        layer.register_forward_hook(
            lambda _, __, output: layouts.append(output.is_contiguous(memory_format=torch.channels_last))
        )
    training_step.full_step(SMOKE, recipe, CPU)()
    assert all(not torch.equal(before[name], tensor) for name, tensor in recipe.network.named_parameters())
    assert layouts == [layout == torch.channels_last] * len(recipe.network.twin)


def test_a_training_step_is_one_full_batch() -> None:
    data = training_step.synthetic_data(EXPERIMENT_2)
    assert len(data.training) == EXPERIMENT_2.batch_pairs == 128
    assert data.album.pixels.shape == (256, 105, 105)
    shown = torch.cat([data.training.left, data.training.right])
    assert sorted(shown.tolist()) == list(range(256))


def test_training_step_figures_from_known_seconds() -> None:
    seconds = {"product": [1.0, 1.0], "batch": [0.5, 0.5], "step": [4.0, 8.0]}
    figures = training_step.step_figures(replace(SMOKE, batch_pairs=12), torch.channels_last, seconds)
    [row] = figures.table
    assert (row["pairs"], row["step_s"], row["of_it_batch_s"], row["images_per_s"]) == (12, 6, 0.5, 4)
    flop = 24 * step_flop(SMOKE.network)
    assert row["gflop_per_s"] == pytest.approx(flop / 6 / 1e9)
    assert row["ratio_to_product_high"] == pytest.approx(flop / 4 / PRODUCT_FLOP)
    assert row["ratio_to_product_low"] == pytest.approx(flop / 8 / PRODUCT_FLOP)
    assert figures.summary["layout"] == "channels_last"


def test_a_training_step_is_timed_beside_the_product() -> None:
    seconds = training_step.time_step(SMOKE, CPU, 1, torch.channels_last, products_per_round=1)
    assert {name: len(values) for name, values in seconds.items()} == {"product": 1, "batch": 1, "step": 1}
