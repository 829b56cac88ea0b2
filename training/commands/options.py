"""What the sub-commands share: arguments, the values that these become, and what is printed and written alike.

Only `data_source`, `compute` and the commands themselves see the parsed arguments. Errors are one line for the user.
"""

import argparse
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from pydantic import BaseModel

from model import __version__
from model.device import select_device
from model.errors import DataError
from model.files import replacing
from model.imaging.preprocessing import PreprocessingConfig
from training.data.album import Album, PairSet
from training.data.source import DataSource, FaceOf, describe_ignored
from training.learning import parallel

Subcommands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
# What an interruption says of a command that resumes by itself.
GOES_ON = "; the same command goes on from the last finished epoch"


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


def compute(parsed: argparse.Namespace) -> Compute:
    """What the command computes on."""
    return Compute(device=getattr(parsed, "device", "cpu"), threads=parsed.threads)


def data_source(parsed: argparse.Namespace) -> DataSource:
    """Where the command's data is."""
    return DataSource(
        folder=parsed.data,
        cache=parsed.cache,
        images=parsed.images,
        train_pairs=parsed.train_pairs,
        train_people=parsed.train_people,
        test_pairs=parsed.test_pairs,
        face=getattr(parsed, "face", "center"),
    )


def add_data(command: argparse.ArgumentParser) -> None:
    """Adds the arguments that say where pictures and lists are."""
    command.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("FACEPAIR_LFW", "lfw")),
        help="folder with the pictures and the pair lists (default: $FACEPAIR_LFW, else lfw)",
    )
    command.add_argument(
        "--images",
        default="lfw-deepfunneled",
        help="in it, the folder of people, or its archive without .tgz (default: lfw-deepfunneled)",
    )
    command.add_argument("--train-pairs", default="pairsDevTrain.txt", help="in it, the pairs to train and validate on")
    command.add_argument(
        "--train-people",
        default="peopleDevTrain.txt",
        help="in it, the people to train and validate on, for experiments that learn from people",
    )
    command.add_argument("--test-pairs", default="pairsDevTest.txt", help="in it, the pairs to test on")
    command.add_argument(
        "--cache", type=Path, default=Path("cache"), help="folder for prepared pictures (default: cache)"
    )


def add_face(command: argparse.ArgumentParser, default: FaceOf, why: str) -> None:
    """Adds the argument that says which of several faces is taken."""
    command.add_argument(
        "--face",
        choices=["largest", "center"],
        default=default,
        help=f"which face of a picture that has several (default: {default}, {why})",
    )


def add_device(command: argparse.ArgumentParser) -> None:
    """Adds the arguments that say what to compute on."""
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    add_threads(command)


def add_threads(command: argparse.ArgumentParser) -> None:
    """Adds the number of CPU threads."""
    command.add_argument("--threads", type=positive, help="CPU threads (default: one for each core)")


def seed(text: str) -> int:
    """An argument's value, the seed of a run."""
    if not 0 <= (number := int(text)) < 2**32:
        raise argparse.ArgumentTypeError("must be from 0 to 4294967295")
    return number


def positive(text: str) -> int:
    """An argument's value, a whole number from 1."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def open_album(source: DataSource, config: PreprocessingConfig) -> Album:
    """The pictures, prepared; says which files are left out since they are no pictures of people."""
    pictures = source.pictures
    if parallel.rank() == 0 and (ignored := describe_ignored(pictures)):
        print(f"{pictures}: left out: {ignored}")
    return source.album(config)


def read_pairs(source: DataSource, album: Album, name: str, *, skip: bool = False) -> PairSet:
    """A pair list; with `skip` without the pairs whose pictures are not there, and it says how many those are."""
    if not skip:
        return source.pairs(album, name)
    pairs, listed = source.pairs_at_hand(album, name)
    print(f"{listed - len(pairs)} of {listed} pairs left out, whose pictures are not there")
    return pairs


def read_test_pairs(source: DataSource, album: Album, *, skip: bool = False) -> PairSet:
    """The test pairs, of one person and of two."""
    pairs = read_pairs(source, album, source.test_pairs, skip=skip)
    pairs.require_both_kinds(source.folder / source.test_pairs, "test")
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


def code_version() -> str:
    """The commit that the code is at, marked `-dirty` if it was changed since; the package's version outside git."""
    root = Path(__file__).parents[2]
    try:
        if Path(_git(root, "rev-parse", "--show-toplevel")) != root.resolve():  # another project's, around this one
            return __version__
        return _git(root, "describe", "--always", "--dirty", "--abbrev=12")
    except (OSError, subprocess.CalledProcessError):
        return __version__


def _git(folder: Path, *command: str) -> str:
    line = ["git", "-C", str(folder), *command]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
