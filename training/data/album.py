"""Albums of prepared pictures, and sets of pairs of them."""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, Protocol

import torch
from torch import Tensor

from model.errors import DataError
from model.imaging.preprocessing import PreprocessingConfig
from model.imaging.quality import Quality

# A picture: the person's name, and the file's name without its ending.
Key = tuple[str, str]
# Each person's pictures: indices into an album, int64 (N,).
People = Mapping[str, Tensor]


def composed(name: str) -> str:
    """A name in Unicode's composed form (NFC): macOS decomposes the letters of file names, and keyboards do not."""
    return unicodedata.normalize("NFC", name)


def key_of(path: PurePath) -> Key:
    """The key of a picture file, from the last two parts of its path."""
    return composed(path.parent.name), composed(path.stem)


def name_of(key: Key) -> str:
    """PERSON/FILE, the name of a picture in results and messages."""
    return "/".join(key)


class PixelRows(Protocol):
    """Crops uint8 (N, H, W) or (N, H, W, 3). An index gives a tensor: a copy of these crops alone, for a store."""

    @property
    def shape(self) -> torch.Size: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: Any, /) -> Tensor: ...
    def __iter__(self) -> Iterator[Tensor]: ...


@dataclass(frozen=True, kw_only=True)
class MeasuredFace:
    """The number of faces in a picture, and the quality of the one that was taken."""

    count: int
    quality: Quality


@dataclass(frozen=True, kw_only=True)
class Album:
    """Pictures prepared by `preprocessing`: N keys, pixels uint8 (N, H, W) or (N, H, W, 3), a digest over both.

    `pixels` is a tensor, or reads from a store what it is indexed by. With alignment, `faces` has the measurements of
    each picture's face, and `faceless` the keys of pictures without one, which are not in the album. Nor are the files
    of `broken`, with the reason.
    """

    keys: list[Key]
    pixels: PixelRows
    sha256: str
    preprocessing: PreprocessingConfig
    faces: Sequence[MeasuredFace] = ()
    faceless: list[Key] = field(default_factory=list)
    broken: dict[Key, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return [name_of(key) for key in self.keys]

    @property
    def faceless_names(self) -> str:
        """The names of the pictures without a face, or `none`, for a message."""
        return ", ".join(map(name_of, self.faceless)) or "none"

    def index(self) -> dict[Key, int]:
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
        """Raises DataError unless there are genuine and impostor pairs, which error rates need."""
        same = int(self.same.sum())
        if not 0 < same < len(self):
            raise DataError(
                f"{path}: {use} needs genuine and impostor pairs, and {same} of {len(self)} are genuine; add pairs of "
                "both kinds"
            )

    def keys_of(self, album_keys: Sequence[Key]) -> list[tuple[Key, Key]]:
        """The keys of the two pictures of each pair; `album_keys` has all keys of the album."""
        sides = zip(self.left.tolist(), self.right.tolist(), strict=True)
        return [(album_keys[left], album_keys[right]) for left, right in sides]

    def names_of(self, album_keys: Sequence[Key]) -> list[tuple[str, str]]:
        """The names of the two pictures of each pair."""
        return [(name_of(left), name_of(right)) for left, right in self.keys_of(album_keys)]


def owners(people: People) -> tuple[Tensor, Tensor]:
    """All pictures and their people's numbers, both int64 (N,); people are numbered in the order of their names."""
    names = sorted(people)
    pictures = torch.cat([people[name] for name in names])
    return pictures, torch.cat([torch.full((len(people[name]),), i) for i, name in enumerate(names)])
