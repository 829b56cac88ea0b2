"""Virtual people: whose parts they have, their positions and soft edges."""

import math

import pytest
import torch
from torch import Tensor

from training.learning.experiments import DEEP_FUNNELED_FACE
from training.people.people_batches import FaceParts, Part, blend_parts, draw_swaps, masks_of, match_tone

SIDE = 32
PEOPLE = 6
# The upper and the lower half, cut hard.
HALVES = FaceParts(
    parts=(
        Part(x=0.5, y=0.25, half_width=0.5, half_height=0.25),
        Part(x=0.5, y=0.75, half_width=0.5, half_height=0.25),
    ),
    feather=1e-6,
)


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def swap_parts(real: Tensor, masks: Tensor, virtual: int, generator: torch.Generator) -> Tensor:
    """(M, n, C, H, W) -> (V, n, C, H, W)."""
    swaps = draw_swaps(len(real), masks, virtual, generator)
    return blend_parts(real[swaps.hosts], real[swaps.donors], swaps.weights[:, None, None])


def faces() -> Tensor:
    """Of one tone, so that matching it changes nothing: each person a permutation of one picture's pixels."""
    pixels = torch.linspace(0.2, 0.8, SIDE * SIDE)
    orders = [torch.randperm(len(pixels), generator=draws(number)) for number in range(PEOPLE * 3)]
    return torch.stack([pixels[order] for order in orders]).reshape(PEOPLE, 3, 1, SIDE, SIDE)


def test_masks_equal_a_slow_loop() -> None:
    masks = masks_of(DEEP_FUNNELED_FACE, SIDE)
    for part, mask in zip(DEEP_FUNNELED_FACE.parts, masks, strict=True):
        for row in range(0, SIDE, 3):
            for column in range(0, SIDE, 3):
                beyond_x = max(0.0, abs((column + 0.5) / SIDE - part.x) - part.half_width)
                beyond_y = max(0.0, abs((row + 0.5) / SIDE - part.y) - part.half_height)
                expected = math.exp(-0.5 * (beyond_x**2 + beyond_y**2) / DEEP_FUNNELED_FACE.feather**2)
                assert float(mask[row, column]) == pytest.approx(expected, abs=1e-5)


def test_virtual_person_combines_two_people() -> None:
    """With hard edges, every half of a virtual picture equals that half of a real picture."""
    real, masks = faces(), masks_of(HALVES, SIDE)
    seen: set[tuple[int, int]] = set()
    for seed in range(12):
        virtual = swap_parts(real, masks, 3, draws(seed))
        assert virtual.shape == (3, 3, 1, SIDE, SIDE)
        people: list[int] = []
        for person in virtual:
            halves = []
            for rows in (slice(0, 16), slice(16, 32)):
                owners = [
                    [k for k in range(PEOPLE) if torch.allclose(real[k, i, 0, rows], person[i, 0, rows], atol=1e-5)]
                    for i in range(3)
                ]
                assert owners[0] == owners[1] == owners[2]
                halves.append(owners[0][0])
            seen.add((halves[0], halves[1]))
            people += set(halves)
        assert len(people) == len(set(people)), "a person is in two virtual people"
    assert any(upper != lower for upper, lower in seen)


def test_one_to_all_parts_are_swapped() -> None:
    masks = masks_of(DEEP_FUNNELED_FACE, SIDE)
    shapes = set()
    for seed in range(40):
        virtual = swap_parts(faces(), masks, 1, draws(seed))[0]
        order = torch.randperm(PEOPLE, generator=draws(seed))
        changed = (virtual - faces()[order[0]]).abs().amax(0)[0] > 0.05
        taken = tuple(bool(changed[int(p.y * SIDE), int((p.x + 0.02) * SIDE)]) for p in DEEP_FUNNELED_FACE.parts)
        assert bool(changed.any())
        shapes.add(taken)
    assert len(shapes) > 4


def test_swapped_part_takes_the_tone_of_its_host() -> None:
    tones = torch.linspace(0.2, 0.8, PEOPLE)[:, None, None, None, None]
    real = tones + 0.1 * (faces() - 0.5)
    for seed in range(5):
        virtual = swap_parts(real, masks_of(HALVES, SIDE), 3, draws(seed))
        order = torch.randperm(PEOPLE, generator=draws(seed))
        assert torch.allclose(virtual.mean((2, 3, 4)), real[order[:3]].mean((2, 3, 4)), atol=0.01)


def test_overlapping_parts_are_blended_once() -> None:
    virtual = swap_parts(faces(), torch.ones(2, SIDE, SIDE), 3, draws())
    donors = faces()[torch.randperm(PEOPLE, generator=draws())[3:]]
    assert torch.allclose(virtual, donors, atol=1e-4)


def test_pixels_far_from_parts_are_unchanged() -> None:
    virtual = swap_parts(faces(), masks_of(DEEP_FUNNELED_FACE, SIDE), 3, draws())
    order = torch.randperm(PEOPLE, generator=draws())
    assert torch.allclose(virtual[..., :3, :], faces()[order[:3]][..., :3, :], atol=1e-3)


def test_virtual_people_are_at_most_half_the_people() -> None:
    masks = masks_of(HALVES, SIDE)
    assert len(swap_parts(faces(), masks, 16, draws())) == 3
    assert len(swap_parts(faces()[:1], masks, 16, draws())) == 0
    assert len(swap_parts(faces(), masks, 0, draws())) == 0


def test_match_tone_copies_mean_and_deviation() -> None:
    images = torch.rand(4, 1, SIDE, SIDE, generator=draws()) * 0.2
    models = torch.rand(4, 1, SIDE, SIDE, generator=draws(1)) * 0.3 + 0.4
    found = match_tone(images, models)
    assert torch.allclose(found.mean((2, 3)), models.mean((2, 3)), atol=1e-4)
    assert torch.allclose(found.std((2, 3)), models.std((2, 3)), atol=1e-4)
    flat = match_tone(torch.full((1, 1, 4, 4), 0.3), models[:1, :, :4, :4])
    assert bool(flat.isfinite().all())


def test_seen_through_shows_the_same_parts() -> None:
    """The middle of a picture with 4/3 of the field, cut out again, has the masks of the narrower one."""
    wide = masks_of(DEEP_FUNNELED_FACE.seen_through(0.75), 64)
    assert torch.allclose(wide[:, 8:56, 8:56], masks_of(DEEP_FUNNELED_FACE, 48), atol=1e-5)
