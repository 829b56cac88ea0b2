"""Shards of prepared pictures: a .npy file of crops, which is mapped into memory, and an .npz index of their files.

A shard is written once and never changed. Its index is written last: crops without one are left from a killed process.

N picture files, C of them with a crop, H W pixels
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from model.arrays import Array, Pixels
from model.files import replacing
from training.data.cropping import Broken, Cropped, Outcome

# Pictures of a full shard: 31 MB of crops of 100 x 100 pixels in colour, and as much work as a killed process loses.
FULL = 1024
CROPS, INDEX = ".npy", ".npz"
# The names of the arrays in an index.
ARRAYS = ("made_by", "paths", "stamps", "reasons", "has_crop", "measures", "crops_sha256")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A picture file, what recognises its contents, and its crop, None without a face, or why it is broken."""

    path: str
    stamp: str
    outcome: Outcome


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A shard of a folder: paths and stamps of N files, has_crop bool (N,), measures float64 (C, M).

    `made_by` says how the crops were made, `reasons` why files are broken, "" if they are not. M is 0 without
    alignment.
    """

    folder: Path
    number: int
    made_by: str
    paths: list[str]
    stamps: list[str]
    reasons: list[str]
    has_crop: NDArray[np.bool_]
    measures: NDArray[np.float64]
    crops_sha256: str

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def files(self) -> tuple[Path, Path]:
        return _files(self.folder, self.number)

    @cached_property
    def crops(self) -> Pixels:
        """uint8 (C, H, W) or (C, H, W, 3), mapped into memory. Raises OSError or ValueError."""
        crops: Pixels = np.load(self.files[0], mmap_mode="r", allow_pickle=False)
        return crops

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """int64 (N,): each file's place among the crops, -1 without one."""
        return np.where(self.has_crop, np.cumsum(self.has_crop) - 1, -1)

    def row(self, number: int) -> Row:
        """The file at a place (0 to N - 1) with a copy of its crop."""
        place, reason = int(self.places[number]), self.reasons[number]
        outcome: Outcome = Broken(reason) if reason else None
        if place >= 0:
            outcome = Cropped(pixels=self.crops[place].copy(), measures=tuple(self.measures[place].tolist()))
        return Row(path=self.paths[number], stamp=self.stamps[number], outcome=outcome)

    def state(self) -> list[int]:
        """What changes whenever one of the two files is written, moved or restored; empty if one is missing."""
        try:
            found = [path.stat() for path in self.files]
        except OSError:
            return []
        return [value for each in found for value in (each.st_size, each.st_mtime_ns, each.st_ctime_ns, each.st_ino)]

    def is_intact(self, shape: Sequence[int]) -> bool:
        """Whether the crops have this shape, (H, W) or (H, W, 3), and the index's digest. Reads them all."""
        try:
            return self.crops.shape == (int(self.has_crop.sum()), *shape) and _digest(self.crops) == self.crops_sha256
        except (OSError, ValueError, EOFError):
            return False


def numbers(folder: Path) -> list[int]:
    """The numbers of the shards in a folder, in order."""
    return sorted(int(path.stem) for path in folder.glob(f"*{INDEX}") if path.stem.isdecimal())


def read(folder: Path, number: int) -> Shard | None:
    """A shard without its crops; None if its index cannot be read."""
    try:
        with _files(folder, number)[1].open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in ARRAYS}
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile):
        return None
    counts = {len(arrays[name]) for name in ("paths", "stamps", "reasons", "has_crop")}
    if len(counts) != 1 or len(arrays["measures"]) != arrays["has_crop"].sum():
        return None
    return _shard(folder, number, arrays)


def write(folder: Path, number: int, made_by: str, rows: Sequence[Row], shape: Sequence[int]) -> Shard:
    """Writes a shard; `shape` is that of a crop. Raises OSError."""
    found = [row.outcome for row in rows if isinstance(row.outcome, Cropped)]
    crops = np.stack([crop.pixels for crop in found]) if found else np.empty((0, *shape), np.uint8)
    reasons = [row.outcome.reason if isinstance(row.outcome, Broken) else "" for row in rows]
    arrays = {
        "made_by": np.array(made_by),
        "paths": np.array([row.path for row in rows], np.str_),
        "stamps": np.array([row.stamp for row in rows], np.str_),
        "reasons": np.array(reasons, np.str_),
        "has_crop": np.array([isinstance(row.outcome, Cropped) for row in rows]),
        "measures": np.array([crop.measures for crop in found], np.float64).reshape(len(found), -1 if found else 0),
        "crops_sha256": np.array(_digest(crops)),
    }
    of_crops, of_index = _files(folder, number)
    made = BytesIO()
    np.save(made, crops, allow_pickle=False)  # into a file it would not notice if the last bytes found no room
    with replacing(of_crops) as partial, partial.open("wb") as file:
        file.write(made.getbuffer())
    with replacing(of_index) as partial, partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    return _shard(folder, number, arrays)


def _shard(folder: Path, number: int, arrays: Mapping[str, Array]) -> Shard:
    return Shard(
        folder=folder,
        number=number,
        made_by=str(arrays["made_by"]),
        paths=arrays["paths"].tolist(),
        stamps=arrays["stamps"].tolist(),
        reasons=arrays["reasons"].tolist(),
        has_crop=arrays["has_crop"],
        measures=arrays["measures"],
        crops_sha256=str(arrays["crops_sha256"]),
    )


def remove(folder: Path, number: int) -> None:
    """Removes a shard, its index first, so that an interruption leaves no index without crops."""
    for path in reversed(_files(folder, number)):
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Removes crops without an index, and partial files: what killed processes left. No other process may write."""
    known = set(numbers(folder))
    for path in folder.glob(f"*{CROPS}"):
        if path.stem.isdecimal() and int(path.stem) not in known:
            path.unlink()
    for path in folder.glob(".*.partial"):
        path.unlink(missing_ok=True)


def _files(folder: Path, number: int) -> tuple[Path, Path]:
    return folder / f"{number:06d}{CROPS}", folder / f"{number:06d}{INDEX}"


def _digest(crops: Pixels) -> str:
    return hashlib.sha256(np.ascontiguousarray(crops).data.cast("B") if crops.size else b"").hexdigest()
