"""Blurred patches, and what they add."""

import numpy as np
import pytest

from app.engine.occlusion import GRID, blur_patches, influence
from model.arrays import Pixels


@pytest.mark.parametrize("shape", [(100, 100, 3), (96, 96), (50, 61, 3)])
def test_each_copy_lacks_one_patch_and_together_they_cover_the_crop(shape: tuple[int, ...]) -> None:
    crop: Pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    changed = [(copy != crop).reshape(*shape[:2], -1).any(axis=2) for copy in blur_patches(crop)]
    assert len(changed) == GRID * GRID
    assert (np.sum(changed, axis=0) <= 1).all()
    assert np.sum(changed) > 0.98 * shape[0] * shape[1]  # of noise, a blurred pixel rarely has its own value
    for place, each in enumerate(changed):
        rows, columns = np.nonzero(each)
        assert rows.mean() / shape[0] == pytest.approx((place // GRID + 0.5) / GRID, abs=0.05)
        assert columns.mean() / shape[1] == pytest.approx((place % GRID + 0.5) / GRID, abs=0.05)


def test_a_blurred_patch_keeps_its_light() -> None:
    crop: Pixels = np.full((60, 60, 3), (200, 120, 40), np.uint8)
    crop[::2, ::2] -= 40
    for copy in blur_patches(crop):
        assert np.abs(copy.mean(axis=(0, 1)) - crop.mean(axis=(0, 1))).max() < 1


def test_a_patch_without_which_the_pair_is_less_alike_speaks_for_it() -> None:
    without = np.full(GRID * GRID, 0.9)
    without[GRID] = 0.5
    without[-1] = 0.99
    found = influence(0.9, list(without))
    assert found[1, 0] == pytest.approx(np.log(9))
    assert found[-1, -1] == pytest.approx(np.log(0.9 / 0.1) - np.log(0.99 / 0.01))
    assert np.count_nonzero(np.abs(found) > 1e-12) == 2


def test_certain_similarities_give_finite_numbers() -> None:
    assert np.isfinite(influence(1.0, [0.0] * GRID**2)).all()
