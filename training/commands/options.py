"""From the parsed options of a sub-command to values: where its data is, what it computes on.

Only these functions and the commands themselves see the parsed options. Each raises the error, in one line, that a
user needs to see.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel

from model.device import select_device
from model.errors import DataError
from model.files import replacing
from model.imaging.preprocessing import PreprocessingConfig
from training.data.album import Album, Key, PairSet, name_of
from training.data.archive import describe_ignored
from training.data.lists import read_pairs, resolve
from training.data.source import DataSource
from training.data.splits import require_both_kinds
from training.learning import parallel


@dataclass(frozen=True, kw_only=True)
class Compute:
    """The device asked for, and how many CPU threads; None for one for each core."""

    device: str
    threads: int | None

    def select(self) -> torch.device:
        """The device, with as many threads as asked for from now on."""
        if self.threads:
            torch.set_num_threads(self.threads)
        return select_device(self.device)


def source_of(options: argparse.Namespace) -> DataSource:
    """Where the command's data is."""
    return DataSource(
        folder=options.data,
        cache=options.cache,
        images=options.images,
        train_pairs=options.train_pairs,
        train_people=options.train_people,
        test_pairs=options.test_pairs,
        face=getattr(options, "face", "center"),
    )


def compute_of(options: argparse.Namespace) -> Compute:
    """What the command computes on."""
    return Compute(device=getattr(options, "device", "cpu"), threads=options.threads)


def album_of(source: DataSource, config: PreprocessingConfig) -> Album:
    """The pictures, prepared; says which files are left out since they are no pictures of people."""
    pictures = source.pictures
    if parallel.rank() == 0 and (ignored := describe_ignored(pictures)):
        print(f"{pictures}: left out: {ignored}")
    return source.album(config)


def pairs_of(source: DataSource, album: Album, name: str, *, skip: bool = False) -> PairSet:
    """A pair list; with `skip` without the pairs whose pictures are not there, and it says how many those are."""
    if not skip:
        return source.pairs(album, name)
    path, index = source.folder / name, album.index()
    pairs = read_pairs(path)
    there = [pair for pair in pairs if pair.left in index and pair.right in index]
    print(f"{len(pairs) - len(there)} of {len(pairs)} pairs left out, whose pictures are not there")
    return resolve(path, there, index, album.faceless)


def pairs_to_test(source: DataSource, album: Album, *, skip: bool = False) -> PairSet:
    """The test pairs, of one person and of two."""
    pairs = pairs_of(source, album, source.test_pairs, skip=skip)
    require_both_kinds(source.folder / source.test_pairs, pairs, "test")
    return pairs


def write_json(path: Path | None, found: BaseModel) -> None:
    """Writes what was measured, where a file is named, and says so. Raises DataError."""
    if path is None:
        return
    try:
        with replacing(path) as partial:
            partial.write_text(found.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error}") from error
    print(f"wrote {path}")


def seed(text: str) -> int:
    """An option's value, the seed of a run."""
    if not 0 <= (number := int(text)) < 2**32:
        raise argparse.ArgumentTypeError("must be from 0 to 4294967295")
    return number


def positive(text: str) -> int:
    """An option's value, a whole number from 1."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def names_of(keys: Sequence[Key]) -> str:
    """Pictures by name."""
    return ", ".join(map(name_of, keys)) or "none"
