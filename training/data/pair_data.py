"""What a run learns from that learns from pairs, and what it is validated on.

N pictures
"""

import hashlib
import json
from dataclasses import dataclass

import torch
from torch import Tensor

from training.data.album import Album, PairSet
from training.data.datasets import PeopleData
from training.data.splits import shared_people


@dataclass(frozen=True, kw_only=True)
class PairData:
    """An album and which of its pairs are trained and validated on."""

    album: Album
    training: PairSet
    validation: PairSet

    @property
    def trained_on(self) -> Tensor:
        """int64 (N,): the pictures of the training."""
        used: Tensor = torch.cat([self.training.left, self.training.right]).unique()
        return used

    @property
    def pairs_sha256(self) -> str:
        """A digest over the pairs of both parts, by the names of their pictures."""
        parts = [pairs.keys_of(self.album.keys) for pairs in (self.training, self.validation)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @property
    def sha256(self) -> str:
        """A digest over everything that a run learns from."""
        return hashlib.sha256(f"{self.album.sha256} {self.pairs_sha256}".encode()).hexdigest()

    @property
    def sharing_people(self) -> int:
        """How many validation pairs show a person who is in a training pair too."""
        return shared_people(self.training, self.validation, self.album.keys)


def describe_pairs(data: PairData) -> str:
    """The sizes, and how far the validation pairs are from being of unseen people."""
    return (
        f"{len(data.training)} training and {len(data.validation)} validation pairs, "
        f"{data.sharing_people} of which show a person who is in a training pair too"
    )


AnyData = PairData | PeopleData
