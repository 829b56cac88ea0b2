"""Draws the people and pictures of an epoch's batches, and assembles the batches.

A batch has people with several pictures each, virtual people made from these, and people with one picture, used twice.
A virtual person has one person's pictures with another's eyes, nose or mouth blended into them, following Hu et al.,
"Frankenstein: Learning Deep Face Representations using Small Data" (arXiv 1603.06470).

M people with n pictures each, S people with one, V virtual people
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.networks.embedder import to_unit
from training.data.datasets import PeopleData

MIN_DEVIATION = 1 / 255


@dataclass(frozen=True, kw_only=True)
class BatchSizes:
    """Per batch: `people` with several pictures, `pictures` of each, and `singles`, people with only one picture."""

    people: int
    pictures: int
    singles: int


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


def assemble(
    data: PeopleData, plan: BatchPlan, masks: Tensor, virtual: int, swaps: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Pictures float32 (B, C, H, W), 0..1, and labels int64 (B,): of people, of virtual people, and of singles, twice.

    The labels of `plan.people` are their indices in `data.several`; the other people are numbered after them.
    """
    people, pictures = plan.pictures.shape
    known = to_unit(data.album.pixels[plan.pictures.flatten()])
    made_up = swap_parts(known.unflatten(0, (people, pictures)), masks, virtual, swaps)
    singles = to_unit(data.album.pixels[plan.singles])
    others = len(data.several) + torch.arange(len(made_up) + len(singles))
    blended, alone = others[: len(made_up)], others[len(made_up) :]
    labels = [plan.people.repeat_interleave(pictures), blended.repeat_interleave(pictures), alone, alone]
    return torch.cat([known, made_up.flatten(0, 1), singles, singles]), torch.cat(labels)


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


def swap_parts(faces: Tensor, masks: Tensor, virtual: int, draws: torch.Generator) -> Tensor:
    """(M, n, C, H, W) float32, 0..1 -> (V, n, C, H, W): `virtual` people, but at most half as many as there are people.

    The parts of another person are the same in all pictures of a virtual person. Each person is used at most once.
    """
    count = min(virtual, len(faces) // 2)
    if count == 0:
        return faces[:0]
    order = torch.randperm(len(faces), generator=draws)
    hosts, donors = faces[order[:count]], faces[order[count : 2 * count]]
    taken = torch.randint(1, 2 ** len(masks), (count,), generator=draws)
    has_part = (taken[:, None] >> torch.arange(len(masks))) & 1
    weights = (has_part[:, :, None, None] * masks).amax(1)[:, None, None]
    return torch.lerp(hosts, match_tone(donors, hosts), weights)


def match_tone(images: Tensor, models: Tensor) -> Tensor:
    """(..., H, W) twice -> `images` with the mean and standard deviation of `models`, clamped to 0..1."""
    deviation, mean = torch.std_mean(images, dim=(-2, -1), keepdim=True)
    wanted_deviation, wanted_mean = torch.std_mean(models, dim=(-2, -1), keepdim=True)
    ratio = wanted_deviation / deviation.clamp_min(MIN_DEVIATION)
    return ((images - mean) * ratio + wanted_mean).clamp(0, 1)
