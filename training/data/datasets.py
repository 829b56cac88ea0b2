"""What a run learns from, and the pairs that it is validated on.

N pictures
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from model.imaging.quality import QualityRanges
from training.data import lists, splits
from training.data.album import Album, PairSet


@dataclass(frozen=True, kw_only=True)
class DataSet(ABC):
    """An album, and the pairs of its pictures that a run is validated on; kinds differ in what they train on."""

    album: Album
    validation: PairSet

    @property
    @abstractmethod
    def trained_on(self) -> Tensor:
        """int64 (N,): the pictures of the training."""

    @property
    @abstractmethod
    def pairs_sha256(self) -> str:
        """A digest over what is trained and validated on, by the names of people and pictures."""

    @property
    @abstractmethod
    def sharing_people(self) -> int:
        """How many validation pairs show a person who is trained on too."""

    @abstractmethod
    def describe(self) -> str:
        """The sizes, in words."""

    @property
    def sha256(self) -> str:
        """A digest over everything that a run learns from."""
        return hashlib.sha256(f"{self.album.sha256} {self.pairs_sha256}".encode()).hexdigest()

    @property
    def quality_ranges(self) -> QualityRanges | None:
        """Over the pictures that are trained on; None where faces were not looked for."""
        if not self.album.faces:
            return None
        return QualityRanges.of([self.album.faces[number].quality for number in self.trained_on.tolist()])


@dataclass(frozen=True, kw_only=True)
class PairData(DataSet):
    """Pairs of pictures to train on."""

    training: PairSet

    @classmethod
    def read(cls, album: Album, path: Path, fraction: float, seed: int) -> Self:
        """The pairs of a list, `fraction` of them for validation. Raises DataError."""
        pairs = lists.resolve(path, lists.read_pairs(path), album.index(), album.faceless)
        training, validation = splits.split(pairs, fraction, seed)
        splits.require_both_kinds(path, validation, "validate")
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
        return splits.shared_people(self.training, self.validation, self.album.keys)

    def describe(self) -> str:
        return (
            f"{len(self.training)} training and {len(self.validation)} validation pairs, "
            f"{self.sharing_people} of which show a person who is in a training pair too"
        )


@dataclass(frozen=True, kw_only=True)
class PeopleData(DataSet):
    """People with their pictures to train on; the validation pairs are of the people held out."""

    training: splits.People
    held_out: splits.People

    @classmethod
    def read(cls, album: Album, path: Path, rule: splits.HoldOut) -> Self:
        """The people of a list, some held out by the rule. Raises DataError."""
        return cls.of(album, path, lists.read_people(path), rule)

    @classmethod
    def of(cls, album: Album, path: Path, people: Mapping[str, int], rule: splits.HoldOut) -> Self:
        """The people, with how many pictures each has by the list at `path`. Raises DataError."""
        training, held_out = splits.hold_out(lists.pictures_of(path, people, album.keys, album.faceless), rule)
        validation = splits.balanced_pairs(held_out, rule)
        splits.require_both_kinds(path, validation, "validate")
        return cls(album=album, training=training, held_out=held_out, validation=validation)

    @cached_property
    def several(self) -> list[Tensor]:
        """The pictures of each person of the training who has more than one, int64 (N,) each."""
        return [self.training[name] for name in sorted(self.training) if len(self.training[name]) > 1]

    @cached_property
    def single(self) -> Tensor:
        """int64 (N,): the pictures of those who have only one."""
        alone = [self.training[name] for name in sorted(self.training) if len(self.training[name]) == 1]
        return torch.cat(alone) if alone else torch.empty(0, dtype=torch.int64)

    @property
    def trained_on(self) -> Tensor:
        return torch.cat(list(self.training.values()))

    @property
    def pictures(self) -> int:
        """How many pictures are trained on."""
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
