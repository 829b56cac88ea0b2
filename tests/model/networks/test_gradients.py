"""The part of embeddings that is made of gradient histograms."""

from math import sqrt

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from model.imaging.gradient_cells import MIN_SIDE_PX, SCALES, Scale, histogram_values
from model.networks.configurations import ResidualConfig
from model.networks.gradients import histograms
from model.networks.residual import ResidualNetwork, luma, standardise
from tests.model.support.networks import CONFIGS, random_network

SIDE = 40


def pictures(count: int, side_px: int = SIDE, channels: int = 1) -> Tensor:
    draws = torch.Generator().manual_seed(1)
    coarse = torch.rand(count, channels, 6, 6, generator=draws)
    return standardise(torch.nn.functional.interpolate(coarse, (side_px, side_px), mode="bicubic"))


def cells_of(rows: Tensor, scale: Scale) -> Tensor:
    """The values of one picture and scale: (2 kinds, 8, N, N)."""
    before = 0
    for each in SCALES:
        count = 16 * each.cells(SIDE) ** 2
        if each == scale:
            return rows[before : before + count].view(2, 8, each.cells(SIDE), each.cells(SIDE))
        before += count
    raise ValueError(scale)


@pytest.mark.parametrize("scale", SCALES)
def test_a_cell_has_what_a_loop_over_its_pixels_finds(scale: Scale) -> None:
    grey = pictures(1)
    found = cells_of(histograms(grey)[0], scale)
    small = torch.nn.functional.avg_pool2d(grey, scale.shrink)[0, 0].numpy() if scale.shrink > 1 else grey[0, 0].numpy()
    padded = np.pad(small, 1, mode="edge")
    across, down = padded[1:-1, 2:] - padded[1:-1, :-2], padded[2:, 1:-1] - padded[:-2, 1:-1]
    angles = np.arange(8)[:, None, None] * np.pi / 4
    directed = np.maximum(across * np.cos(angles) + down * np.sin(angles), 0) ** 2 / (np.hypot(across, down) + 1e-3)
    sideways = padded[1:-1, 2:] + padded[1:-1, :-2] - 2 * small
    upright = padded[2:, 1:-1] + padded[:-2, 1:-1] - 2 * small
    crossed = (padded[2:, 2:] + padded[:-2, :-2] - padded[2:, :-2] - padded[:-2, 2:]) / 2
    half = (sideways + upright) / 2
    light = np.stack([sideways, upright, half + crossed, half - crossed])
    second = np.maximum(np.concatenate([light, -light]), 0)
    size, step = scale.cell_px, scale.step_px
    middle = scale.cells(SIDE) // 2
    near = range(max(0, middle - 2), min(scale.cells(SIDE), middle + 3))
    for kind, values in enumerate((directed, second)):
        cells = {(y, x): values[:, y * step :, x * step :][:, :size, :size].mean((1, 2)) for y in near for x in near}
        nearby = np.mean([cell.sum() for cell in cells.values()])
        expected = np.sqrt(cells[middle, middle] / (nearby + 4e-3))
        assert found[kind, :, middle, middle].tolist() == pytest.approx(expected.tolist(), rel=1e-4, abs=1e-5)


def test_contrast_hardly_counts() -> None:
    shown = pictures(4)
    assert float((histograms(shown) - histograms(shown * 0.5)).abs().max()) < 0.1
    assert float((histograms(shown) - histograms(shown.flip(3))).abs().max()) > 0.3


def test_a_picture_has_the_same_histograms_among_others() -> None:
    shown = pictures(40)
    assert torch.equal(histograms(shown)[33:34], histograms(shown[33:34]))


def test_the_values_of_a_side() -> None:
    assert histograms(pictures(1)).shape[1] == histogram_values(SIDE)
    assert histogram_values(100) == 16 * 11**2
    assert histogram_values(MIN_SIDE_PX) > 0
    assert histograms(pictures(1, MIN_SIDE_PX)).shape[1] == histogram_values(MIN_SIDE_PX)


def test_gradients_are_a_third_of_an_embedding() -> None:
    network = random_network(CONFIGS["gradients"])
    assert isinstance(network, ResidualNetwork)
    assert network.gradients
    images = standardise(pictures(3, channels=3))
    found = network.embed(images)[:, 16:23] * sqrt(3)
    assert torch.allclose(found.norm(dim=1), torch.ones(3))
    assert torch.allclose(network.gradients(standardise(luma(images))), found, atol=1e-6)


WITH = CONFIGS["gradients"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"thumbnail_cells": 0, "thumbnail_values": 0, "dimension": 23}, "the head fused needs a thumbnail"),
        ({"head": "joint-bayesian"}, "colour crops .* and the head fused"),
        ({"input_channels": 1, "grey_views": ()}, "colour crops .* and the head fused"),
        ({"side_px": 41, "thumbnail_cells": 1}, "an even side_px"),
        ({"dimension": 32}, "without gradients and thumbnail"),
    ],
)
def test_impossible_gradients_are_refused(changes: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        ResidualConfig(**{**WITH.model_dump(), **changes})
