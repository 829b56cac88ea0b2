"""Which pictures make up the batches of an epoch: some people with several pictures each, and people with one.

N pictures of an epoch's batch
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


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
    """Yields so many batches.

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


def _rounds(population: int, size: int, batches: int, draws: torch.Generator) -> Iterator[Tensor]:
    """So many groups of `size` numbers below `population`, or of all of them where they are fewer."""
    size = min(size, population)
    in_a_round = population // size if size else batches
    for number in range(batches):
        if number % in_a_round == 0:
            order = torch.randperm(population, generator=draws)
        start = number % in_a_round * size
        yield order[start : start + size]
