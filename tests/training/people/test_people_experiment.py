"""Experiment 5 and its variants have the documented values and refuse invalid ones."""

from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
import torch

from model.errors import TrainingError
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.configurations import NetworkConfig, ResidualConfig
from training.data.datasets import HoldOut
from training.learning.experiments import (
    EXPERIMENT_5,
    EXPERIMENT_5_COLOUR,
    EXPERIMENT_5_GREY,
    EXPERIMENT_5_GREY_UNALIGNED,
    EXPERIMENT_5_UNALIGNED,
)
from training.people.people_augmentation import BatchAugmentation, ColourChange


def test_experiment_5_has_the_documented_values() -> None:
    run = EXPERIMENT_5_UNALIGNED
    assert run.network == ResidualConfig(
        side_px=100,
        input_channels=3,
        views=(1.0, 0.64),
        grey_views=(1,),
        view_px=64,
        channels=(24, 48, 96, 192),
        dimension=512,
    )
    assert run.preprocessing == PreprocessingConfig(side_px=100, colour="rgb", crop=150 / 250, standardised=True)
    assert (run.people, run.pictures, run.singles, run.virtual) == (32, 4, 48, 16)
    assert (run.temperature, run.classifier_weight, run.classifier_scale, run.classifier_margin) == (0.1, 0.5, 20, 0.15)
    assert (run.learning_rate, run.average, run.epochs) == (2e-3, 0.998, 40)
    assert run.held_out == HoldOut(fraction=0.15, most_pictures=100)
    assert replace(EXPERIMENT_5, name=run.name, preprocessing=run.preprocessing) == run


def test_grey_experiments_differ_only_in_colour() -> None:
    for grey, coloured in (
        (EXPERIMENT_5_GREY, EXPERIMENT_5),
        (EXPERIMENT_5_GREY_UNALIGNED, EXPERIMENT_5_UNALIGNED),
    ):
        assert grey.preprocessing.model_copy(update={"colour": "rgb"}) == coloured.preprocessing
        assert grey.network.model_copy(update={"input_channels": 3, "grey_views": (1,)}) == coloured.network
        assert replace(grey.augmentation, colour=ColourChange()) == coloured.augmentation
        same = {"name", "network", "preprocessing", "augmentation"}
        assert {k: v for k, v in vars(grey).items() if k not in same} == {
            k: v for k, v in vars(coloured).items() if k not in same
        }


def test_colour_experiment_differs_only_in_its_central_region() -> None:
    network = EXPERIMENT_5.network.model_copy(update={"grey_views": ()})
    assert replace(EXPERIMENT_5, name="experiment-5-colour", network=network) == EXPERIMENT_5_COLOUR


def test_grey_network_with_colour_augmentation_is_refused() -> None:
    with pytest.raises(TrainingError, match="grey pictures cannot have colour augmentation"):
        replace(EXPERIMENT_5_GREY, augmentation=BatchAugmentation(colour=ColourChange()))


@pytest.mark.parametrize("rising", [0.3, 0.25])
def test_learning_rate_equals_one_cycle(rising: float) -> None:
    run, steps = replace(EXPERIMENT_5, rising=rising, epochs=4), 200
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, run.learning_rate, total_steps=steps, pct_start=rising, cycle_momentum=False
    )
    for step in range(steps):
        assert run.learning_rate_at(step, 50) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        if step + 1 < steps:
            scheduler.step()


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 10])
def test_short_runs_have_finite_learning_rates(steps: int) -> None:
    for rising in (0.3, 0.5):
        run = replace(EXPERIMENT_5, rising=rising, epochs=1)
        assert all(0 < run.learning_rate_at(step, steps) <= run.learning_rate for step in range(steps))


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"people": 0},
        {"pictures": 0},
        {"singles": -1},
        {"virtual": -1},
        {"learning_rate": 0.0},
        {"temperature": 0.0},
        {"average": 1.0},
        {"rising": 0.0},
        {"held_out": HoldOut(fraction=0.0)},
        {"held_out": HoldOut(fraction=1.0)},
        {"network": ResidualConfig(side_px=96)},
    ],
)
def test_invalid_values_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match=r"^experiment-5: "):
        replace(EXPERIMENT_5, **wrong)


def test_experiment_is_immutable() -> None:
    with pytest.raises(FrozenInstanceError):
        EXPERIMENT_5.epochs = 1  # type: ignore[misc]
    assert not isinstance(EXPERIMENT_5.network, NetworkConfig)
