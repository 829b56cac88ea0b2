"""The data sets of runs: training pairs or training people, and the pairs for validation."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from model.errors import DataError
from model.imaging.quality import QualityRanges
from training.data import lists
from training.data.album import Album, Key, PairSet, People, owners

# Fewer have no pairs of two people.
MIN_HELD_OUT = 2
# Of more pairs some are drawn without a permutation of all, which would take 8 bytes for each.
MOST_PERMUTED = 2**24


@dataclass(frozen=True, kw_only=True)
class HoldOut:
    """Which people are held out: the share `fraction`, but no person with more than `most_pictures`.

    `pairs_of_a_person` is the largest number of genuine validation pairs of one person.
    """

    fraction: float = 0.15
    most_pictures: int = 100
    pairs_of_a_person: int = 15
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class DataSet(ABC):
    """An album and its validation pairs. Subclasses add the training data."""

    album: Album
    validation: PairSet

    @property
    @abstractmethod
    def trained_on(self) -> Tensor:
        """int64 (N,): the indices of the training pictures."""

    @property
    @abstractmethod
    def pairs_sha256(self) -> str:
        """A digest over the names of the training and validation data's people and pictures."""

    @property
    @abstractmethod
    def sharing_people(self) -> int:
        """The number of validation pairs that show a training person."""

    @abstractmethod
    def describe(self) -> str:
        """The sizes, in words."""

    @property
    def sha256(self) -> str:
        """A digest over all data of a run."""
        return hashlib.sha256(f"{self.album.sha256} {self.pairs_sha256}".encode()).hexdigest()

    @property
    def quality_ranges(self) -> QualityRanges | None:
        """The quality ranges of the training pictures; None without alignment."""
        if not self.album.faces:
            return None
        return QualityRanges.of([self.album.faces[number].quality for number in self.trained_on.tolist()])


@dataclass(frozen=True, kw_only=True)
class PairData(DataSet):
    training: PairSet

    @classmethod
    def of(cls, album: Album, path: Path, pairs: PairSet, fraction: float, seed: int) -> Self:
        """These pairs, with the share `fraction` for validation. Raises DataError if those are of one kind."""
        training, validation = split(pairs, fraction, seed)
        validation.require_both_kinds(path, "validation")
        return cls(album=album, training=training, validation=validation)

    @property
    def trained_on(self) -> Tensor:
        used: Tensor = torch.cat([self.training.left, self.training.right]).unique()
        return used

    @property
    def pairs_sha256(self) -> str:
        parts = [pairs.keys_of(self.album.keys) for pairs in (self.training, self.validation)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @property
    def sharing_people(self) -> int:
        return shared_people(self.training, self.validation, self.album.keys)

    def describe(self) -> str:
        return (
            f"{len(self.training)} training and {len(self.validation)} validation pairs, "
            f"{self.sharing_people} of which show a person who is in a training pair too"
        )


@dataclass(frozen=True, kw_only=True)
class PeopleData(DataSet):
    """A data set with training people and their pictures. The validation pairs are of held-out people."""

    training: People
    held_out: People

    @classmethod
    def of(cls, album: Album, path: Path, people: Mapping[str, int], rule: HoldOut) -> Self:
        """The people of the list at `path`, with their numbers of pictures. Raises DataError for missing pictures."""
        training, held_out = hold_out(lists.pictures_of(path, people, album), rule)
        if len(held_out) < MIN_HELD_OUT or not training:
            raise DataError(
                f"{path}: {len(held_out)} of {len(people)} people can be held out for the thresholds, and at least "
                f"{MIN_HELD_OUT} must be: {rule.fraction:.0%} of all are, and none with more than {rule.most_pictures} "
                "pictures; add people"
            )
        if all(len(pictures) == 1 for pictures in held_out.values()):
            raise DataError(
                f"{path}: each of the {len(held_out)} people held out for the thresholds has one picture; add pictures "
                "of people who have one already, or calibrate a shipped checkpoint, which needs one of each"
            )
        validation = balanced_pairs(held_out, rule)
        validation.require_both_kinds(path, "validation")
        return cls(album=album, training=training, held_out=held_out, validation=validation)

    @cached_property
    def several(self) -> list[Tensor]:
        """The pictures of each training person who has several, int64 (N,) each."""
        return [self.training[name] for name in sorted(self.training) if len(self.training[name]) > 1]

    @cached_property
    def single(self) -> Tensor:
        """int64 (N,): the pictures of training people with only one."""
        alone = [self.training[name] for name in sorted(self.training) if len(self.training[name]) == 1]
        return torch.cat(alone) if alone else torch.empty(0, dtype=torch.int64)

    @property
    def trained_on(self) -> Tensor:
        return torch.cat(list(self.training.values()))

    @property
    def pictures(self) -> int:
        return sum(map(len, self.training.values()))

    @cached_property
    def pairs_sha256(self) -> str:
        people = [sorted(self.training), sorted(self.held_out)]
        pairs = self.validation.keys_of(self.album.keys)
        return hashlib.sha256(json.dumps([people, pairs]).encode()).hexdigest()

    @property
    def sharing_people(self) -> int:
        return 0

    def describe(self) -> str:
        return (
            f"{len(self.training)} people with {self.pictures} pictures to train on, {len(self.several)} of them with "
            f"several; {len(self.validation)} validation pairs of {len(self.held_out)} other people"
        )


def split(pairs: PairSet, fraction: float, seed: int) -> tuple[PairSet, PairSet]:
    """A random split of pairs into training and validation, with the share `fraction` for validation."""
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(seed))
    held_out = round(len(pairs) * fraction)
    return pairs[order[held_out:]], pairs[order[:held_out]]


def shared_people(training: PairSet, validation: PairSet, keys: Sequence[Key]) -> int:
    """The number of validation pairs that show a person of the training pairs, which a split by pairs leaks."""
    known = {person for pair in training.keys_of(keys) for person, _ in pair}
    return sum(left[0] in known or right[0] in known for left, right in validation.keys_of(keys))


def hold_out(people: People, rule: HoldOut) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A random split by people into training people and held-out people."""
    names = sorted(people)
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(rule.seed)).tolist()
    eligible = [names[i] for i in order if len(people[names[i]]) <= rule.most_pictures]
    held = set(eligible[: round(rule.fraction * len(names))])
    training = {name: people[name] for name in names if name not in held}
    return training, {name: people[name] for name in names if name in held}


def balanced_pairs(people: People, rule: HoldOut) -> PairSet:
    """Random genuine pairs of each person, and as many random impostor pairs; each pair occurs once."""
    draws = torch.Generator().manual_seed(rule.seed)
    genuine = [_some_pairs(people[name], rule.pairs_of_a_person, draws) for name in sorted(people)]
    same = torch.cat(genuine) if genuine else torch.empty(0, 2, dtype=torch.int64)
    left, right = impostor_pairs(people, _some_of(count_impostor_pairs(people), len(same), draws))
    return PairSet(
        left=torch.cat([same[:, 0], left]),
        right=torch.cat([same[:, 1], right]),
        same=torch.cat([torch.ones(len(same)), torch.zeros(len(left))]),
    )


def count_impostor_pairs(people: People) -> int:
    counts = torch.tensor([len(pictures) for pictures in people.values()], dtype=torch.int64)
    return (int(counts.sum()) ** 2 - int((counts**2).sum())) // 2


def impostor_pairs(people: People, numbers: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The impostor pairs with these numbers, int64 (P,), or all: left and right pictures, int64 (P,).

    They are numbered by the left picture, then by the right one, in the order of `owners`.
    """
    pictures, owner = owners(people)
    # A picture is the left one of pairs with all pictures of the people after its person.
    first_after = owner.bincount().cumsum(0)[owner]
    pairs = len(pictures) - first_after
    upto = pairs.cumsum(0)
    chosen = torch.arange(int(pairs.sum())) if numbers is None else numbers
    left = torch.searchsorted(upto, chosen, right=True)
    right = first_after[left] + chosen - (upto - pairs)[left]
    return pictures[left], pictures[right]


def _some_of(count: int, wanted: int, draws: torch.Generator) -> Tensor:
    """int64 (P,): `wanted` different random numbers below `count`, or all if there are fewer."""
    if count <= MOST_PERMUTED:
        return torch.randperm(count, generator=draws)[:wanted]
    found, wanted = torch.empty(0, dtype=torch.int64), min(wanted, count)
    while len(found) < wanted:
        found = torch.cat([found, torch.randint(count, (wanted,), generator=draws)]).unique()
    return found[torch.randperm(len(found), generator=draws)[:wanted]]


def _some_pairs(pictures: Tensor, most: int, draws: torch.Generator) -> Tensor:
    """int64 (P, 2): at most so many random pairs of a person's pictures, which are numbered as by `combinations`."""
    count = len(pictures)
    # Numbered from the end, the pairs whose left picture is n-th from the end begin with number n (n - 1) / 2.
    from_end = count * (count - 1) // 2 - 1 - _some_of(count * (count - 1) // 2, most, draws)
    row = ((8 * from_end + 1).double().sqrt() - 1).div(2).long()
    return torch.stack([pictures[count - 2 - row], pictures[count - 1 - (from_end - row * (row + 1) // 2)]], dim=1)
