"""Who and which pictures make up the batches of an epoch, and their pictures: drawn, and blended into virtual people.

A batch has some people with several pictures each, virtual people made of these, and people with one picture, twice.

B pictures in a batch, C channels, H W pixels, M people with n pictures each, S people with one
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.networks.embedder import to_unit
from training.data.datasets import PeopleData
from training.people.part_swap import swap_parts


@dataclass(frozen=True, kw_only=True)
class BatchSizes:
    """How many people with several pictures are in a batch, with how many pictures each, and people with one."""

    people: int
    pictures: int
    singles: int


@dataclass(frozen=True, kw_only=True)
class BatchPlan:
    """One batch: `people` int64 (M,) and `pictures` int64 (M, n) of them, `singles` int64 (S,) of people with one."""

    people: Tensor
    pictures: Tensor
    singles: Tensor


def plan_epoch(
    several: Sequence[Tensor], single: Tensor, sizes: BatchSizes, batches: int, draws: torch.Generator
) -> Iterator[BatchPlan]:
    """Yields that many batches.

    `several` has each person's pictures, `single` the pictures of those who have only one. Nobody is in a batch twice,
    and nobody returns before all but a batch's remainder had their turn.
    """
    chosen = _rounds(len(several), sizes.people, batches, draws)
    alone = _rounds(len(single), sizes.singles, batches, draws)
    for group, others in zip(chosen, alone, strict=True):
        rows = [pick(several[person], sizes.pictures, draws) for person in group.tolist()]
        yield BatchPlan(people=group, pictures=torch.stack(rows), singles=single[others])


def pick(pictures: Tensor, count: int, draws: torch.Generator) -> Tensor:
    """(n,) -> (count,) of them in random order, none twice where there are enough, all equally often where not."""
    turns = -(-count // len(pictures))
    return torch.cat([pictures[torch.randperm(len(pictures), generator=draws)] for _ in range(turns)])[:count]


def assemble(
    data: PeopleData, plan: BatchPlan, masks: Tensor, virtual: int, swaps: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Pictures float32 (B, C, H, W), 0..1, and labels (B,): those of `plan.people`, the virtual ones, both copies of
    the singles.

    The labels of `plan.people` are their numbers in `data.several`; everybody else has the next free number.
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
    """That many groups of `size` numbers below `population`, or of all of them where they are fewer."""
    size = min(size, population)
    in_a_round = population // size if size else batches
    for number in range(batches):
        if number % in_a_round == 0:
            order = torch.randperm(population, generator=draws)
        start = number % in_a_round * size
        yield order[start : start + size]
