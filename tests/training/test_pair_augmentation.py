"""Augmentation: each picture against slow arithmetic, each draw within its range, the generator our own.

B batch, H W pixels
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.training.support.small_pairs import CPU, SMALL
from training.data.album import Album
from training.data.datasets import PairData
from training.pairs import Augmentation, Draw, augment, draw

Picture = NDArray[np.float64]
Shade = Callable[[float, float], float]
SIDE = 41
DRAWS = 4000


def parameters(
    size: int, *, flip: bool = False, angle_deg: float = 0.0, brightness: float = 1.0, contrast: float = 1.0
) -> Draw:
    """The same parameters for every picture; those left out change nothing."""
    return Draw(
        flip=torch.full((size,), flip),
        angle_deg=torch.full((size,), angle_deg),
        brightness=torch.full((size,), brightness),
        contrast=torch.full((size,), contrast),
    )


def noise(size: int, seed: int = 0) -> Tensor:
    return torch.rand(size, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def gaussian(x: float, y: float) -> float:
    """A smooth spot right of the centre and a fainter one below it; x to the right, y downwards, from the centre."""
    return 0.8 * math.exp(-((x - 9) ** 2 + y**2) / 40) + 0.4 * math.exp(-(x**2 + (y - 7) ** 2) / 30)


def paint(shade: Shade) -> Picture:
    centre = (SIDE - 1) / 2
    return np.array([[shade(column - centre, row - centre) for column in range(SIDE)] for row in range(SIDE)])


def flipped(shade: Shade) -> Shade:
    return lambda x, y: shade(-x, y)


def turned(shade: Shade, angle_deg: float) -> Shade:
    """The scene turned anticlockwise about the centre; y points downwards."""
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    return lambda x, y: shade(x * cos - y * sin, x * sin + y * cos)


def blended(picture: Picture, brightness: float, contrast: float) -> Picture:
    """Pixel by pixel: times the brightness, then away from or towards the mean."""
    bright = [min(max(value * brightness, 0.0), 1.0) for value in picture.flat]
    mean = sum(bright) / len(bright)
    result = [min(max(mean + contrast * (value - mean), 0.0), 1.0) for value in bright]
    return np.array(result).reshape(picture.shape)


def as_batch(*pictures: Picture) -> Tensor:
    return torch.from_numpy(np.stack(pictures)[:, None]).float()


def inner(picture: Picture) -> Picture:
    """The pixels that no rotation within 15 degrees uncovers."""
    edge = 7
    return picture[edge:-edge, edge:-edge]


def test_neutral_parameters_change_nothing() -> None:
    images = noise(3)
    assert torch.equal(augment(images, parameters(3)), images)


def test_flip_mirrors_left_and_right() -> None:
    images = noise(2)
    flipped_images = augment(images, parameters(2, flip=True))
    for before, after in zip(images[:, 0].numpy(), flipped_images[:, 0].numpy(), strict=True):
        assert all(
            after[row][column] == before[row][SIDE - 1 - column] for row in range(SIDE) for column in range(SIDE)
        )


@pytest.mark.parametrize(("brightness", "contrast"), [(0.8, 1), (1.2, 1), (1, 0.8), (1, 1.2), (1.2, 0.8), (0.83, 1.17)])
def test_brightness_and_contrast_equal_slow_arithmetic(brightness: float, contrast: float) -> None:
    images = noise(2)
    changed = augment(images, parameters(2, brightness=brightness, contrast=contrast))
    for before, after in zip(images[:, 0].double().numpy(), changed[:, 0].numpy(), strict=True):
        np.testing.assert_allclose(after, blended(before, brightness, contrast), atol=2e-6)


@pytest.mark.parametrize("angle_deg", [-15.0, -4.0, 7.5, 15.0])
def test_rotation_turns_anticlockwise_by_the_angle(angle_deg: float) -> None:
    before = paint(gaussian)
    after = augment(as_batch(before), parameters(1, angle_deg=angle_deg))[0, 0].numpy()
    tolerance = 0.01
    np.testing.assert_allclose(inner(after), inner(paint(turned(gaussian, angle_deg))), atol=tolerance)
    assert np.abs(inner(after) - inner(paint(turned(gaussian, -angle_deg)))).max() > 5 * tolerance
    assert np.abs(inner(after) - inner(paint(turned(gaussian, angle_deg * 0.8)))).max() > tolerance


def test_rotation_leaves_black_corners() -> None:
    after = augment(torch.ones(1, 1, SIDE, SIDE), parameters(1, angle_deg=15.0))[0, 0]
    assert [after[y, x].item() for y in (0, -1) for x in (0, -1)] == [0, 0, 0, 0]
    assert after[SIDE // 2, SIDE // 2] == pytest.approx(1)


def test_mixed_batch_equals_a_slow_loop() -> None:
    drawn = Draw(
        flip=torch.tensor([True, False, True, False]),
        angle_deg=torch.tensor([12.0, -9.0, -3.0, 0.0]),
        brightness=torch.tensor([0.9, 1.1, 1.0, 0.8]),
        contrast=torch.tensor([1.1, 0.9, 0.85, 1.2]),
    )
    changed = augment(as_batch(*[paint(gaussian)] * 4), drawn)
    for i in range(4):
        shade = turned(flipped(gaussian) if drawn.flip[i] else gaussian, float(drawn.angle_deg[i]))
        expected = blended(paint(shade), float(drawn.brightness[i]), float(drawn.contrast[i]))
        np.testing.assert_allclose(inner(changed[i, 0].numpy()), inner(expected), atol=0.01)


def test_draws_fill_their_ranges() -> None:
    drawn = draw(DRAWS, Augmentation(), torch.Generator().manual_seed(3))
    for values, low, high in ((drawn.angle_deg, -15, 15), (drawn.brightness, 0.8, 1.2), (drawn.contrast, 0.8, 1.2)):
        margin = 0.01 * (high - low)
        assert low <= values.min() < low + margin
        assert high - margin < values.max() <= high
        assert float(values.mean()) == pytest.approx((low + high) / 2, abs=3 * margin)
    assert float(drawn.flip.float().mean()) == pytest.approx(0.5, abs=0.03)


def test_draws_use_configured_ranges() -> None:
    wanted = Augmentation(flip_probability=0.1, rotation_deg=3.0, brightness=0.05, contrast=0.0)
    drawn = draw(DRAWS, wanted, torch.Generator().manual_seed(3))
    assert float(drawn.flip.float().mean()) == pytest.approx(0.1, abs=0.02)
    assert 2.9 < float(drawn.angle_deg.abs().max()) <= 3
    assert 0.045 < float((drawn.brightness - 1).abs().max()) <= 0.05 + 1e-6
    assert drawn.contrast.unique().tolist() == [1.0]


def test_parameters_are_independent() -> None:
    drawn = draw(DRAWS, Augmentation(), torch.Generator().manual_seed(3))
    table = torch.stack([drawn.flip.float(), drawn.angle_deg, drawn.brightness, drawn.contrast])
    correlations = torch.corrcoef(table) - torch.eye(4)
    assert float(correlations.abs().max()) < 0.06


def test_flips_and_angles_differ_within_pairs(data: PairData, album: Album) -> None:
    """Every pair is a picture with itself, and its two sides must be augmented differently."""
    one = data.training[torch.zeros(8, dtype=torch.int64)]
    twice = PairData(album=album, training=type(one)(left=one.left, right=one.left, same=one.same),
                         validation=data.validation)  # fmt: skip
    images = torch.cat([batch.images for batch in SMALL.recipe(twice, CPU).batches(1)])
    assert len(images) == 16
    assert len(images.unique(dim=0)) == 16


def test_draws_differ_within_a_batch() -> None:
    drawn = draw(16, Augmentation(), torch.Generator().manual_seed(0))
    assert drawn.flip.unique().tolist() == [False, True]
    for values in (drawn.angle_deg, drawn.brightness, drawn.contrast):
        assert len(values.unique()) == 16


def test_draws_depend_only_on_the_generator() -> None:
    images = noise(8)
    results = []
    for global_seed in (1, 2):
        torch.manual_seed(global_seed)
        before = torch.get_rng_state()
        results.append(augment(images, draw(8, Augmentation(), torch.Generator().manual_seed(7))))
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(*results)
    assert not torch.equal(augment(images, draw(8, Augmentation(), torch.Generator().manual_seed(8))), results[0])


def test_pictures_are_augmented_separately() -> None:
    images, drawn = noise(6), draw(6, Augmentation(), torch.Generator().manual_seed(7))
    chosen = torch.tensor([4, 1])
    assert torch.equal(
        augment(images[chosen], Draw(*(values[chosen] for values in drawn))), augment(images, drawn)[chosen]
    )


def test_augmentation_keeps_shape_and_range() -> None:
    images = torch.cat([noise(30), torch.ones(1, 1, SIDE, SIDE), torch.zeros(1, 1, SIDE, SIDE)])
    before = images.clone()
    changed = augment(images, draw(32, Augmentation(), torch.Generator().manual_seed(7)))
    assert (changed.shape, changed.dtype) == (images.shape, torch.float32)
    assert float(changed.min()) >= 0
    assert float(changed.max()) <= 1
    assert torch.equal(images, before)
