"""Random changes of whole batches, drawn separately for each picture from the given generator."""

from dataclasses import fields, replace
from math import cos, radians, sin

import pytest
import torch
from torch import Tensor

from training.people.people_augmentation import (
    BatchAugmentation,
    BatchDraw,
    ColourChange,
    ColourDraw,
    augment_batch,
    blur,
    change_colours,
    draw_batch,
    erase,
)

STILL = BatchAugmentation(
    flip_probability=0, rotation_deg=0, scale=0, shift=0, shear=0, gamma=0, contrast=0, erase_probability=0,
    blur_probability=0,
)  # fmt: skip
SIDE = 24


def pictures(count: int) -> Tensor:
    """Smooth pictures, so that interpolation changes little."""
    noise = torch.rand(count, 1, 6, 6, generator=torch.Generator().manual_seed(5))
    return torch.nn.functional.interpolate(noise, size=(SIDE, SIDE), mode="bicubic", align_corners=False).clamp(0, 1)


def drawn(changes: BatchAugmentation, count: int = 40, seed: int = 0) -> BatchDraw:
    return draw_batch(count, changes, torch.Generator().manual_seed(seed))


def changed(changes: BatchAugmentation, count: int = 40) -> Tensor:
    return augment_batch(pictures(count), drawn(changes, count))


def test_neutral_parameters_change_nothing() -> None:
    assert torch.allclose(changed(STILL), pictures(40), atol=1e-5)


def test_pictures_are_changed_differently() -> None:
    same = pictures(1).expand(40, -1, -1, -1)
    found = augment_batch(same, drawn(BatchAugmentation()))
    assert found.shape == same.shape
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1
    assert len(found.unique(dim=0)) == 40


def test_draws_depend_only_on_the_generator() -> None:
    changes = BatchAugmentation(colour=ColourChange())
    one, again, other = (drawn(changes, seed=seed) for seed in (0, 0, 1))
    assert tensors(one).keys() == {*(each.name for each in fields(BatchDraw)), "tint", "greyed"} - {"colour"}
    for name, tensor in tensors(one).items():
        assert torch.equal(tensor, tensors(again)[name])
        assert not torch.equal(tensor, tensors(other)[name])


def tensors(draw: BatchDraw) -> dict[str, Tensor]:
    found = {**vars(draw), **vars(draw.colour)}
    return {name: value for name, value in found.items() if name != "colour"}


def test_flip_mirrors_the_picture() -> None:
    found = changed(replace(STILL, flip_probability=1))
    assert torch.allclose(found, pictures(40).flip(3), atol=1e-5)
    some = changed(replace(STILL, flip_probability=0.5), 400)
    mirrored = (some - pictures(400).flip(3)).abs().amax((1, 2, 3)) < 1e-4
    assert 160 < int(mirrored.sum()) < 240


def test_shift_is_a_share_of_the_side() -> None:
    parameters = drawn(STILL, 1)
    parameters.affine[0, 0, 2] = 2 * 3 / SIDE
    found = augment_batch(pictures(1), parameters)
    assert torch.allclose(found[..., :-3], pictures(1)[..., 3:], atol=1e-5)
    assert torch.allclose(found[..., -3:], pictures(1)[..., -1:].expand(-1, -1, -1, 3), atol=1e-5)
    shifts = drawn(replace(STILL, shift=0.06), 400).affine[:, :, 2]
    assert 0.1 < float(shifts.abs().max()) <= 0.12


def test_affine_map_equals_explicit_matrices() -> None:
    """Stretch, then shear, then turn."""
    changes = replace(STILL, rotation_deg=30, scale=0.2, shear=0.1, shift=0.05)
    unit = 2 * torch.rand(17, 8, generator=torch.Generator().manual_seed(0))[2:8] - 1
    for found, draws in zip(drawn(changes, 8).affine, unit.T.tolist(), strict=True):
        angle, shear = radians(30 * draws[0]), 0.1 * draws[3]
        turn = torch.tensor([[cos(angle), -sin(angle)], [sin(angle), cos(angle)]])
        slant = torch.tensor([[1, shear], [0, 1]])
        stretch = torch.diag(torch.exp(0.2 * torch.tensor(draws[1:3])))
        assert torch.allclose(found[:, :2], turn @ slant @ stretch, atol=1e-5)
        assert torch.allclose(found[:, 2], 0.1 * torch.tensor(draws[4:6]), atol=1e-6)


def test_gamma_and_contrast_follow_the_draw() -> None:
    parameters = drawn(replace(STILL, gamma=0.4, contrast=0.3), 5)
    found = augment_batch(pictures(5), parameters)
    for picture, result, gamma, contrast in zip(pictures(5), found, parameters.gamma, parameters.contrast, strict=True):
        lit = picture**gamma
        expected = (lit.mean() + (lit - lit.mean()) * contrast).clamp(0, 1)
        assert torch.allclose(result, expected, atol=1e-4)


def test_blur_equals_a_slow_loop() -> None:
    deviations = torch.tensor([0.0, 0.6, 1.2])
    images = torch.rand(3, 1, 10, 10, generator=torch.Generator().manual_seed(2))
    found = blur(images, deviations)
    assert torch.allclose(found[0], images[0], atol=1e-6)
    for image, result, deviation in zip(images[1:, 0], found[1:, 0], deviations[1:].tolist(), strict=True):
        weights = torch.exp(-0.5 * (torch.arange(-3, 4) / deviation) ** 2)
        weights /= weights.sum()
        for y in range(10):
            for x in range(10):
                expected = sum(
                    float(weights[i] * weights[j] * image[min(max(y + i - 3, 0), 9), min(max(x + j - 3, 0), 9)])
                    for i in range(7)
                    for j in range(7)
                )
                assert float(result[y, x]) == pytest.approx(expected, abs=1e-5)


def test_channels_are_changed_equally() -> None:
    """A grey picture in three channels stays grey, and each is changed as if it were alone."""
    parameters = drawn(BatchAugmentation(), 6)
    alone = augment_batch(pictures(6), parameters)
    coloured = augment_batch(pictures(6).expand(-1, 3, -1, -1), parameters)
    assert torch.allclose(coloured, alone.expand(-1, 3, -1, -1), atol=1e-6)
    several = torch.rand(4, 3, 10, 10, generator=torch.Generator().manual_seed(3))
    blurred = blur(several, torch.tensor([0.0, 0.4, 0.8, 1.2]))
    for channel in range(3):
        assert torch.equal(blurred[:, [channel]], blur(several[:, [channel]], torch.tensor([0.0, 0.4, 0.8, 1.2])))


def test_tint_scales_channels_and_greying_uses_luma() -> None:
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(4)) / 2
    tint = torch.tensor([[1.2, 1.0, 0.8], [1.2, 1.0, 0.8]])
    tinted, grey = change_colours(images, ColourDraw(tint=tint, greyed=torch.tensor([False, True])))
    for channel, factor in enumerate((1.2, 1.0, 0.8)):
        assert torch.allclose(tinted[channel], images[0, channel] * factor)
    expected = 0.299 * 1.2 * images[1, 0] + 0.587 * images[1, 1] + 0.114 * 0.8 * images[1, 2]
    assert torch.allclose(grey, expected.expand(3, -1, -1), atol=1e-6)


def test_tint_range_and_share_of_grey_pictures() -> None:
    plain, coloured = drawn(STILL, 1000), drawn(replace(STILL, colour=ColourChange(tint=0.2)), 1000)
    assert plain.colour is None
    assert torch.equal(plain.shade, coloured.shade)
    assert coloured.colour
    assert coloured.colour.tint.shape == (1000, 3)
    assert 0.81 < float(coloured.colour.tint.min()) < 0.83
    assert 1.2 < float(coloured.colour.tint.max()) < 1.23
    assert 100 < int(coloured.colour.greyed.sum()) < 200


def test_erased_box_has_one_shade() -> None:
    box = torch.tensor([[0.25, 0.5, 0.5, 0.75], [0.3, 0.3, 0.3, 0.3]])
    found = erase(pictures(2), box, torch.tensor([0.4, 0.9]))
    assert bool((found[0, 0, 12:18, 6:12] == torch.tensor(0.4)).all())
    expected = pictures(2)
    expected[0, 0, 12:18, 6:12] = 0.4
    assert torch.equal(found, expected)


def test_share_and_position_of_erased_boxes() -> None:
    boxes = drawn(replace(STILL, erase_probability=0.3, erase=(0.1, 0.35)), 1000).box
    sides = boxes[:, 2:] - boxes[:, :2]
    erased = sides.amin(1) > 0
    assert 250 < int(erased.sum()) < 350
    assert float(sides[erased].min()) > 0.099
    assert float(sides[erased].max()) < 0.351
    assert float(boxes.min()) >= 0
    assert float(boxes.max()) <= 1.0001
