"""Who and what is held out to validate on, and the pairs that people make.

N pictures, P pairs
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import torch
from torch import Tensor

from model.errors import DataError
from training.data.album import Key, PairSet

# Who has which pictures: int64 (N,), indices into an album.
People = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class HoldOut:
    """How people are held out: which share, never one of more than `most_pictures`; pairs of one person at most."""

    fraction: float = 0.15
    most_pictures: int = 100
    pairs_of_a_person: int = 15
    seed: int = 0


def split(pairs: PairSet, fraction: float, seed: int) -> tuple[PairSet, PairSet]:
    """One random split by pairs into training and validation, `fraction` of them for validation."""
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(seed))
    held_out = round(len(pairs) * fraction)
    return pairs[order[held_out:]], pairs[order[:held_out]]


def shared_people(training: PairSet, validation: PairSet, keys: Sequence[Key]) -> int:
    """How many validation pairs show a person who is in the training pairs too: a split by pairs leaks these."""
    known = {person for pair in training.keys_of(keys) for person, _ in pair}
    return sum(left[0] in known or right[0] in known for left, right in validation.keys_of(keys))


def require_both_kinds(path: Path, pairs: PairSet, use: str) -> None:
    """Raises DataError unless some pairs are of one person and some of two: no error rate can do without."""
    same = int(pairs.same.sum())
    if not 0 < same < len(pairs):
        raise DataError(f"{path}: to {use} takes pairs of one person and of two; {same} of {len(pairs)} are of one")


def hold_out(people: People, rule: HoldOut) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """One random split by people into those trained on and those held out."""
    names = sorted(people)
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(rule.seed)).tolist()
    eligible = [names[i] for i in order if len(people[names[i]]) <= rule.most_pictures]
    held = set(eligible[: round(rule.fraction * len(names))])
    training = {name: people[name] for name in names if name not in held}
    return training, {name: people[name] for name in names if name in held}


def balanced_pairs(people: People, rule: HoldOut) -> PairSet:
    """Genuine pairs, a random choice of each person's, and as many random impostor pairs, no pair twice."""
    draws = torch.Generator().manual_seed(rule.seed)
    genuine = [pair for name in sorted(people) for pair in _some_pairs(people[name], rule.pairs_of_a_person, draws)]
    left, right = impostor_pairs(people)
    chosen = torch.randperm(len(left), generator=draws)[: len(genuine)]
    same = torch.tensor(genuine, dtype=torch.int64).reshape(-1, 2)
    return PairSet(
        left=torch.cat([same[:, 0], left[chosen]]),
        right=torch.cat([same[:, 1], right[chosen]]),
        same=torch.cat([torch.ones(len(same)), torch.zeros(len(chosen))]),
    )


def impostor_pairs(people: People) -> tuple[Tensor, Tensor]:
    """All pairs of pictures of two people: left and right, int64 (P,)."""
    pictures, owner = owners(people)
    left, right = torch.triu_indices(len(pictures), len(pictures), offset=1)
    strangers = owner[left] != owner[right]
    return pictures[left[strangers]], pictures[right[strangers]]


def owners(people: People) -> tuple[Tensor, Tensor]:
    """All pictures, and for each the number of its person, both int64 (N,); people are numbered by name."""
    names = sorted(people)
    pictures = torch.cat([people[name] for name in names])
    return pictures, torch.cat([torch.full((len(people[name]),), i) for i, name in enumerate(names)])


def _some_pairs(pictures: Tensor, most: int, draws: torch.Generator) -> list[tuple[int, int]]:
    pairs = list(combinations(pictures.tolist(), 2))
    return [pairs[i] for i in torch.randperm(len(pairs), generator=draws)[:most].tolist()]
