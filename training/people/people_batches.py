"""Draws the people and pictures of an epoch's batches, and assembles the batches.

A batch has people with several pictures each, virtual people made from these, and people with one picture, used twice.
A virtual person has one person's pictures with another's eyes, nose or mouth blended into them, following Hu et al.,
"Frankenstein: Learning Deep Face Representations using Small Data" (arXiv 1603.06470).

M people with n pictures each, S people with one, V virtual people, B pictures in a batch, b of them in this process
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.networks.embedder import to_unit
from training.data.album import PixelRows
from training.data.datasets import PeopleData

MIN_DEVIATION = 1 / 255


@dataclass(frozen=True, kw_only=True)
class BatchSizes:
    """Per batch: `people` with several pictures, `pictures` of each, and `singles`, people with only one picture."""

    people: int
    pictures: int
    singles: int


def batch_pictures(data: PeopleData, sizes: BatchSizes, virtual: int) -> tuple[int, int]:
    """The number of pictures in every batch: of people with several, and of all (B)."""
    people = min(sizes.people, len(data.several))
    known = people * sizes.pictures
    made_up = min(virtual, people // 2) * sizes.pictures
    return known, known + made_up + 2 * min(sizes.singles, len(data.single))


@dataclass(frozen=True, kw_only=True)
class BatchPlan:
    """One batch: `people` int64 (M,), their `pictures` int64 (M, n), and the `singles`' pictures int64 (S,)."""

    people: Tensor
    pictures: Tensor
    singles: Tensor


def plan_epoch(
    several: Sequence[Tensor], single: Tensor, sizes: BatchSizes, batches: int, draws: torch.Generator
) -> Iterator[BatchPlan]:
    """Yields the plans of `batches` batches.

    `several` has each person's pictures, `single` the pictures of people with only one. A batch has no person twice,
    and a person returns only after all others had a turn, except for a remainder smaller than a batch.
    """
    chosen = _rounds(len(several), sizes.people, batches, draws)
    alone = _rounds(len(single), sizes.singles, batches, draws)
    for group, others in zip(chosen, alone, strict=True):
        rows = [pick(several[person], sizes.pictures, draws) for person in group.tolist()]
        yield BatchPlan(people=group, pictures=torch.stack(rows), singles=single[others])


def pick(pictures: Tensor, count: int, draws: torch.Generator) -> Tensor:
    """(n,) -> (count,) pictures in random order. Pictures repeat only if there are too few, and then evenly."""
    turns = -(-count // len(pictures))
    return torch.cat([pictures[torch.randperm(len(pictures), generator=draws)] for _ in range(turns)])[:count]


def label(plan: BatchPlan, known: int, swaps: "Swaps") -> Tensor:
    """int64 (B,), the people of a batch's pictures: of people, of virtual people, and of singles, twice.

    The labels of `plan.people` are their indices among the `known` people; the other people are numbered after them.
    """
    pictures, virtual = plan.pictures.shape[1], len(swaps.hosts)
    others = known + torch.arange(virtual + len(plan.singles))
    blended, alone = others[:virtual], others[virtual:]
    return torch.cat([plan.people.repeat_interleave(pictures), blended.repeat_interleave(pictures), alone, alone])


def assemble(pixels: PixelRows, plan: BatchPlan, swaps: "Swaps", mine: Tensor) -> Tensor:
    """The album's uint8 pixels -> a batch's pictures at the places `mine` int64 (b,), float32 (b, C, H, W), 0..1."""
    pictures, known = plan.pictures.shape[1], plan.pictures.numel()
    sources = [plan.pictures.flatten(), plan.pictures[swaps.hosts].flatten(), plan.singles, plan.singles]
    images = to_unit(pixels[torch.cat(sources)[mine]])
    blended = (mine >= known) & (mine < known + len(swaps.hosts) * pictures)
    number = mine[blended] - known  # among the pictures of virtual people
    donors = to_unit(pixels[plan.pictures[swaps.donors].flatten()[number]])
    weights = swaps.weights[number // pictures]
    images[blended] = blend_parts(images[blended], donors, weights[:, None])
    return images


def _rounds(population: int, size: int, batches: int, draws: torch.Generator) -> Iterator[Tensor]:
    """Yields `batches` groups of `size` indices below `population`, or of all indices if there are fewer."""
    size = min(size, population)
    in_a_round = population // size if size else batches
    for number in range(batches):
        if number % in_a_round == 0:
            order = torch.randperm(population, generator=draws)
        start = number % in_a_round * size
        yield order[start : start + size]


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of the face: its centre and half its width and height, as shares of the picture's side."""

    x: float
    y: float
    half_width: float
    half_height: float


@dataclass(frozen=True, kw_only=True)
class FaceParts:
    """The parts to swap. `feather` is the standard deviation of their masks' soft edges, as a share of the side."""

    parts: tuple[Part, ...]
    feather: float = 0.04

    def seen_through(self, share: float) -> "FaceParts":
        """The same parts in a picture that shows a square `1 / share` times as wide around the same centre."""
        parts = tuple(
            Part(
                x=0.5 + (part.x - 0.5) * share,
                y=0.5 + (part.y - 0.5) * share,
                half_width=part.half_width * share,
                half_height=part.half_height * share,
            )
            for part in self.parts
        )
        return FaceParts(parts=parts, feather=self.feather * share)


def masks_of(face: FaceParts, side_px: int) -> Tensor:
    """float32 (parts, H, W), 0..1: 1 inside a part's box, with Gaussian edges outside."""
    centres = (torch.arange(side_px) + 0.5) / side_px
    x = torch.tensor([part.x for part in face.parts])[:, None]
    y = torch.tensor([part.y for part in face.parts])[:, None]
    beyond_x = ((centres - x).abs() - torch.tensor([part.half_width for part in face.parts])[:, None]).clamp_min(0)
    beyond_y = ((centres - y).abs() - torch.tensor([part.half_height for part in face.parts])[:, None]).clamp_min(0)
    squares = beyond_y[:, :, None] ** 2 + beyond_x[:, None, :] ** 2
    return torch.exp(-0.5 * squares / face.feather**2)


@dataclass(frozen=True, kw_only=True)
class Swaps:
    """A batch's virtual people: the numbers int64 (V,) of the `hosts` and `donors` among its people.

    `weights` float32 (V, H, W), 0..1, is the donor's share of each pixel, the same in all pictures of a virtual person.
    """

    hosts: Tensor
    donors: Tensor
    weights: Tensor


def draw_swaps(people: int, masks: Tensor, virtual: int, draws: torch.Generator) -> Swaps:
    """`virtual` people, but at most half as many as there are people, each of whom is used at most once."""
    count = min(virtual, people // 2)
    if count == 0:
        nobody = torch.empty(0, dtype=torch.int64)
        return Swaps(hosts=nobody, donors=nobody, weights=masks[:0])
    order = torch.randperm(people, generator=draws)
    taken = torch.randint(1, 2 ** len(masks), (count,), generator=draws)
    has_part = (taken[:, None] >> torch.arange(len(masks))) & 1
    weights = (has_part[:, :, None, None] * masks).amax(1)
    return Swaps(hosts=order[:count], donors=order[count : 2 * count], weights=weights)


def blend_parts(hosts: Tensor, donors: Tensor, weights: Tensor) -> Tensor:
    """(..., H, W) float32, 0..1, twice, and weights that broadcast to it -> hosts with parts of the donors."""
    return torch.lerp(hosts, match_tone(donors, hosts), weights) if len(hosts) else hosts


def match_tone(images: Tensor, models: Tensor) -> Tensor:
    """(..., H, W) twice -> `images` with the mean and standard deviation of `models`, clamped to 0..1."""
    deviation, mean = torch.std_mean(images, dim=(-2, -1), keepdim=True)
    wanted_deviation, wanted_mean = torch.std_mean(models, dim=(-2, -1), keepdim=True)
    ratio = wanted_deviation / deviation.clamp_min(MIN_DEVIATION)
    return ((images - mean) * ratio + wanted_mean).clamp(0, 1)
