"""What a run learns from that learns from people, and what it is validated on.

N pictures
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from training.data.album import Album, PairSet
from training.data.splits import HoldOut, People, balanced_pairs, hold_out


@dataclass(frozen=True, kw_only=True)
class PeopleData:
    """An album, whose pictures are trained on, whose are held out, and the pairs of these to validate on."""

    album: Album
    training: People
    held_out: People
    validation: PairSet

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
        """int64 (N,): the pictures of the training."""
        return torch.cat(list(self.training.values()))

    @property
    def pictures(self) -> int:
        """How many pictures are trained on."""
        return sum(map(len, self.training.values()))

    @cached_property
    def pairs_sha256(self) -> str:
        """A digest over who is trained on and over the validation pairs, by the names of their pictures."""
        people = [sorted(self.training), sorted(self.held_out)]
        pairs = self.validation.keys_of(self.album.keys)
        return hashlib.sha256(json.dumps([people, pairs]).encode()).hexdigest()

    @property
    def sha256(self) -> str:
        """A digest over everything that a run learns from."""
        return hashlib.sha256(f"{self.album.sha256} {self.pairs_sha256}".encode()).hexdigest()

    @property
    def sharing_people(self) -> int:
        """None of the validation pairs shows a person who is trained on."""
        return 0


def people_data(album: Album, people: People, rule: HoldOut) -> PeopleData:
    """Holds people out and makes their validation pairs."""
    training, held = hold_out(people, rule)
    return PeopleData(album=album, training=training, held_out=held, validation=balanced_pairs(held, rule))


def describe_people(data: PeopleData) -> str:
    """The sizes."""
    return (
        f"{len(data.training)} people with {data.pictures} pictures to train on, {len(data.several)} of them with "
        f"several; {len(data.validation)} validation pairs of {len(data.held_out)} other people"
    )
