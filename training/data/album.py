"""What networks learn from and are measured on: prepared pictures, and pairs of them.

N pictures, H W pixels, P pairs
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from model.errors import DataError
from model.imaging.quality import Quality

# A picture: the person's name, and the file's name without its ending.
Key = tuple[str, str]
# Who has which pictures: int64 (N,), indices into an album.
People = Mapping[str, Tensor]


def key_of(path: Path) -> Key:
    """The key of a picture file, of whose path the last two parts count."""
    return path.parent.name, path.stem


def name_of(key: Key) -> str:
    """PERSON/FILE, as results and messages name a picture."""
    return "/".join(key)


@dataclass(frozen=True, kw_only=True)
class MeasuredFace:
    """How many faces a picture has, and the quality of the one that was taken."""

    count: int
    quality: Quality


@dataclass(frozen=True, kw_only=True)
class Album:
    """Prepared pictures: keys of length N, pixels uint8 (N, H, W) or (N, H, W, 3), and a digest over both.

    Where faces were straightened, `faces` has what was measured of each picture's, and `faceless` names the pictures
    without one, which are not in the album.
    """

    keys: list[Key]
    pixels: Tensor
    sha256: str
    faces: list[MeasuredFace] = field(default_factory=list)
    faceless: list[Key] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The names of the pictures."""
        return [name_of(key) for key in self.keys]

    @property
    def faceless_names(self) -> str:
        """The names of those without a face, or `none`, for a message."""
        return ", ".join(map(name_of, self.faceless)) or "none"

    def index(self) -> dict[Key, int]:
        """Where each picture is."""
        return {key: number for number, key in enumerate(self.keys)}


@dataclass(frozen=True, kw_only=True)
class PairSet:
    """Pairs as indices into an album: left and right int64 (P,), same float32 (P,), 1 for the same person."""

    left: Tensor
    right: Tensor
    same: Tensor

    def __len__(self) -> int:
        return len(self.same)

    def __getitem__(self, chosen: Tensor) -> "PairSet":
        """The pairs at the indices `chosen`, int64."""
        return PairSet(left=self.left[chosen], right=self.right[chosen], same=self.same[chosen])

    def require_both_kinds(self, path: Path, use: str) -> None:
        """Raises DataError unless some pairs are of one person and some of two: no error rate can do without."""
        same = int(self.same.sum())
        if not 0 < same < len(self):
            raise DataError(f"{path}: to {use} takes pairs of one person and of two; {same} of {len(self)} are of one")

    def keys_of(self, album_keys: Sequence[Key]) -> list[tuple[Key, Key]]:
        """The keys of the two pictures of each pair; `album_keys` are all those of the album."""
        sides = zip(self.left.tolist(), self.right.tolist(), strict=True)
        return [(album_keys[left], album_keys[right]) for left, right in sides]

    def names_of(self, album_keys: Sequence[Key]) -> list[tuple[str, str]]:
        """The names of the two pictures of each pair."""
        return [(name_of(left), name_of(right)) for left, right in self.keys_of(album_keys)]


def owners(people: People) -> tuple[Tensor, Tensor]:
    """All pictures, and for each the number of its person, both int64 (N,); people are numbered by name."""
    names = sorted(people)
    pictures = torch.cat([people[name] for name in names])
    return pictures, torch.cat([torch.full((len(people[name]),), i) for i, name in enumerate(names)])
