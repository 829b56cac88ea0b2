"""People instead of pairs: lists of people, who is held out, and the pairs that the held-out people make.

A list begins with how many people it has (the line may be absent), then has `NAME`, tab, how many images, one a line.

N pictures, P pairs
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import torch
from torch import Tensor

from model.errors import DataError
from training.data.pairs import Key, PairSet, name_of, read_lines

# Who has which pictures: int64 (N,), indices into an album.
People = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class HoldOut:
    """How people are held out: which share, never one of more than `most_pictures`; pairs of one person at most."""

    fraction: float = 0.15
    most_pictures: int = 100
    pairs_of_a_person: int = 15
    seed: int = 0


def read_people(path: Path) -> dict[str, int]:
    """Reads a list of people: how many pictures each has. Raises DataError with file and line."""
    lines = read_lines(path, "a list of people")
    announced = int(lines[0]) if lines and lines[0].strip().isdecimal() else None
    first = 0 if announced is None else 1
    people: dict[str, int] = {}
    for number, line in enumerate(lines[first:], first + 1):
        if line.strip():
            name, count = parse_person(path, number, line)
            if name in people:
                raise DataError(f"{path}:{number}: {name} is on the list twice")
            people[name] = count
    if not people:
        raise DataError(f"{path}: the list has no people")
    if announced not in (None, len(people)):
        raise DataError(f"{path}:1: announces {announced} people, but has {len(people)}")
    return people


def pictures_at_hand(people: Collection[str], keys: Sequence[Key]) -> dict[str, Tensor]:
    """Each person's pictures in an album, as many as there are; whoever has none is left out."""
    found: dict[str, list[int]] = {name: [] for name in people}
    for index, (name, _) in enumerate(keys):
        if name in found:
            found[name].append(index)
    return {name: torch.tensor(indices) for name, indices in found.items() if indices}


def pictures_of(
    path: Path, people: Mapping[str, int], keys: Sequence[Key], faceless: Collection[Key] = frozenset()
) -> dict[str, Tensor]:
    """Each person's pictures in an album. Raises DataError unless everybody has as many as the list says.

    The error names those of the person's that are `faceless`, which the album leaves out.
    """
    found = pictures_at_hand(people, keys)
    differing = {name: count for name, count in people.items() if count != len(found.get(name, ()))}
    if differing:
        name, count = next(iter(differing.items()))
        there = len(found.get(name, ()))
        without = sorted(name_of(key) for key in faceless if key[0] == name)
        why = f"; no face large enough was found in {', '.join(without)}" if without else ""
        more = f"; {len(differing) - 1} more people differ" if len(differing) > 1 else ""
        raise DataError(f"{path}: {name} should have {count} pictures, but the album has {there}{why}{more}")
    return found


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


def parse_person(path: Path, number: int, line: str) -> tuple[str, int]:
    """A line of a list of people, of that number. Raises DataError."""
    match [field.strip() for field in line.split("\t")]:
        case [name, count] if name and count.isdecimal() and int(count) > 0:
            return name, int(count)
    raise DataError(f"{path}:{number}: expected NAME and the number of images with a tab between")
