"""The store of an album: its shards, what they hold, and whether they are what was verified.

N pictures of the album, H W pixels
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, overload

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor
from tqdm import tqdm

from model.arrays import Pixels
from model.files import replacing
from model.imaging.preprocessing import PreprocessingConfig
from model.imaging.quality import Quality
from training.data import shards
from training.data.album import Album, Key, MeasuredFace, key_of
from training.data.shards import Row, Shard

CONTENTS, LOCK = "album.json", ".lock"
# Crops that are read at once for the album's digest.
READ_AT_ONCE = 256


class StoredPixels:
    """The crops of N pictures as uint8 (N, H, W) or (N, H, W, 3), of which only what is indexed is copied to memory."""

    def __init__(
        self, crops: Sequence[Pixels], shard: NDArray[np.int64], place: NDArray[np.int64], shape: Sequence[int]
    ) -> None:
        """Picture n is `crops[shard[n]][place[n]]`, of this shape: (H, W) or (H, W, 3)."""
        self._crops, self._shard, self._place = crops, shard, place
        self._every = np.arange(len(shard))
        self.shape = torch.Size((len(shard), *shape))

    def __len__(self) -> int:
        return len(self._every)

    def __getitem__(self, index: Any) -> Tensor:
        """A copy of the crops at an index of the first dimension, as a tensor gives it."""
        # NumPy takes a tensor with one element for a number.
        chosen = np.asarray(self._every[index.numpy() if isinstance(index, Tensor) else index])
        numbers = chosen.ravel()
        found = np.empty((len(numbers), *self.shape[1:]), np.uint8)
        shard, place = self._shard[numbers], self._place[numbers]
        for each in np.unique(shard):
            rows = np.flatnonzero(shard == each)
            found[rows] = self._crops[each][place[rows]]
        return torch.from_numpy(found).reshape(*chosen.shape, *self.shape[1:])

    def __iter__(self) -> Iterator[Tensor]:
        return (self[number] for number in range(len(self)))


class StoredFaces(Sequence[MeasuredFace]):
    """The measured faces of N pictures; empty without alignment."""

    def __init__(self, measures: NDArray[np.float64]) -> None:
        """(N, 1 + the number of the measures of `Quality`), or (0, 0)."""
        self._measures = measures

    def __len__(self) -> int:
        return len(self._measures)

    @overload
    def __getitem__(self, index: int) -> MeasuredFace: ...
    @overload
    def __getitem__(self, index: slice) -> "StoredFaces": ...
    def __getitem__(self, index: int | slice) -> "MeasuredFace | StoredFaces":
        if isinstance(index, slice):
            return StoredFaces(self._measures[index])
        count, *measures = self._measures[index].tolist()
        names = Quality.__dataclass_fields__
        return MeasuredFace(count=int(count), quality=Quality(**dict(zip(names, measures, strict=True))))


class Contents(BaseModel):
    """What a store holds: crops of the pictures of `source`, which were `pictures` then, a digest.

    `states` are those of the shards when they were verified. `sha256` is the album's digest, empty until all pictures
    are prepared.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    made_by: str
    source: str
    pictures: str
    sha256: str
    states: dict[int, list[int]]


@dataclass(frozen=True, kw_only=True)
class Store:
    """The folder of a store. `made_by` says how its crops are made; crops of another kind are not used."""

    folder: Path
    made_by: str
    config: PreprocessingConfig

    @property
    def shape(self) -> tuple[int, ...]:
        channels, side = self.config.input_shape
        return (side, side, channels) if channels > 1 else (side, side)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from writing; waits while one does. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / LOCK):
            yield

    def contents(self) -> Contents | None:
        """What the store holds; None if that is not known, or is of another kind."""
        try:
            found = Contents.model_validate_json((self.folder / CONTENTS).read_bytes())
        except (OSError, ValidationError):
            return None
        return found if found.made_by == self.made_by else None

    def write_contents(self, source: Path, pictures: str, found: Sequence[Shard], sha256: str) -> None:
        """Raises OSError."""
        contents = Contents(
            made_by=self.made_by,
            source=name_of_source(source),
            pictures=pictures,
            sha256=sha256,
            states={shard.number: shard.state() for shard in found},
        )
        with replacing(self.folder / CONTENTS) as partial:
            partial.write_text(contents.model_dump_json())

    def read_complete(self, pictures: str) -> Album | None:
        """The album, if it has all of these pictures and nothing was written, moved or damaged since."""
        contents = self.contents()
        if not contents or not contents.sha256 or contents.pictures != pictures:
            return None
        found = [shards.read(self.folder, number) for number in shards.numbers(self.folder)]
        there = [shard for shard in found if shard and contents.states.get(shard.number) == shard.state()]
        if len(there) != len(found) or len(there) != len(contents.states):
            return None
        return self.album(there, contents.sha256)

    def read_intact(self) -> list[Shard]:
        """The shards of this kind. Those that changed since they were verified are verified; damaged ones go."""
        contents = self.contents()
        states, intact = contents.states if contents else {}, []
        found = [(number, shards.read(self.folder, number)) for number in shards.numbers(self.folder)]
        for number, shard in tqdm(found, desc=f"reading {self.folder.name}", unit=" shards", disable=None, delay=1):
            if shard and shard.made_by == self.made_by and self._is_intact(shard, states.get(number)):
                intact.append(shard)
            else:
                shards.remove(self.folder, number)
        return intact

    def _is_intact(self, shard: Shard, verified: list[int] | None) -> bool:
        return shard.state() == verified or shard.is_intact(self.shape)

    def album(self, found: Sequence[Shard], sha256: str | None = None) -> Album:
        """The pictures of the shards, by their names; `sha256` is the album's digest if it is known."""
        keys = [key_of(PurePosixPath(path)) for shard in found for path in shard.paths]
        reasons = [reason for shard in found for reason in shard.reasons]
        order = np.array([number for _, number in sorted(zip(keys, range(len(keys)), strict=True))], np.int64)
        place = np.concatenate([np.empty(0, np.int64), *(shard.places for shard in found)])
        there, without = order[place[order] >= 0], order[place[order] < 0].tolist()
        wanted = [keys[number] for number in there.tolist()]
        shard_of = np.repeat(np.arange(len(found)), np.array([len(shard) for shard in found], np.int64))
        pixels = StoredPixels([shard.crops for shard in found], shard_of[there], place[there], self.shape)
        return Album(
            keys=wanted,
            pixels=pixels,
            sha256=digest(wanted, pixels) if sha256 is None else sha256,
            preprocessing=self.config,
            faces=_faces(found, (np.cumsum(place >= 0) - 1)[there]),
            faceless=[keys[number] for number in without if not reasons[number]],
            broken={keys[number]: reasons[number] for number in without if reasons[number]},
        )


def _faces(found: Sequence[Shard], crops: NDArray[np.int64]) -> StoredFaces:
    """The faces of these crops, int64 (N,), which are counted through all shards."""
    measures = [shard.measures for shard in found if shard.measures.size]
    return StoredFaces(np.concatenate(measures)[crops] if measures else np.empty((0, 0)))


def name_of_source(source: Path) -> str:
    """Its path in ASCII: a file name may have bytes that are no UTF-8."""
    return ascii(str(source.absolute()))


class ShardWriter:
    """Writes rows into new shards of a store, each when it is full: `written`. Methods raise OSError."""

    def __init__(self, store: Store) -> None:
        self.written: list[Shard] = []
        self._store, self._rows = store, list[Row]()
        self._number = max(shards.numbers(store.folder), default=-1) + 1

    def add(self, row: Row) -> None:
        self._rows.append(row)
        if len(self._rows) == shards.FULL:
            self.flush()

    def flush(self) -> None:
        """Writes the rows that are left, as a shard that is not full."""
        if self._rows:
            store, rows = self._store, self._rows
            self.written.append(shards.write(store.folder, self._number, store.made_by, rows, store.shape))
            self._number, self._rows = self._number + 1, []


def digest(keys: Sequence[Key], pixels: StoredPixels) -> str:
    """SHA-256 of the keys as JSON and of the pixels, in their order."""
    found = hashlib.sha256(json.dumps(keys).encode())
    every = range(0, len(keys), READ_AT_ONCE)
    for start in tqdm(
        every, desc="digest of the album", unit_scale=READ_AT_ONCE, unit=" pictures", disable=None, delay=1
    ):
        found.update(pixels[start : start + READ_AT_ONCE].numpy().tobytes())
    return found.hexdigest()
