"""What sub-commands share: arguments, their values, and functions that read and write with messages for the user."""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeAlias

import torch
from pydantic import BaseModel

from model import __version__, files
from model.checkpoint import Checkpoint, load
from model.errors import DataError
from model.files import replacing
from model.imaging.preprocessing import PreprocessingConfig
from model.networks import device
from training.data import lists
from training.data.album import Album, PairSet
from training.data.cropping import FaceOf
from training.data.pictures import describe_ignored
from training.data.source import LFW, NAMES, DataSource, List
from training.learning import parallel
from training.measuring import copies

Subcommands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
FOLDER_ITSELF = "."
LISTS: dict[List, str] = {
    "train_pairs": "pairs to train and validate on",
    "train_people": "people to train and validate on, for experiments that learn from people",
    "test_pairs": "pairs to test on",
}
# The message when a command that resumes by itself is interrupted.
GOES_ON = "; the same command continues from the last finished epoch"


@dataclass(frozen=True)
class Opened:
    """What a command that measures a checkpoint on pictures begins with. The album is prepared at its first use."""

    device: torch.device
    source: DataSource
    checkpoint: Checkpoint

    @classmethod
    def of(cls, parsed: argparse.Namespace) -> Self:
        """Raises CheckpointError or DeviceError."""
        return cls(select_device(parsed), data_source(parsed), load(parsed.checkpoint))

    @cached_property
    def album(self) -> Album:
        """Raises DataError."""
        return open_album(self.source, self.checkpoint.header.preprocessing)


def select_device(parsed: argparse.Namespace) -> torch.device:
    """A command's device; also sets its number of CPU threads. Raises DeviceError if the device is not available."""
    if parsed.threads:
        torch.set_num_threads(parsed.threads)
    return device.select_device(getattr(parsed, "device", "cpu"))


def say(text: str) -> None:
    """Prints a line now, although what follows may take hours."""
    print(text, flush=True)


def data_source(parsed: argparse.Namespace) -> DataSource:
    """The data set that a command names. A folder without LFW's pictures is taken for the folder of people itself."""
    return DataSource(
        folder=parsed.data,
        cache=parsed.cache,
        images=FOLDER_ITSELF if parsed.images == LFW and _lacks_lfw(parsed.data) else parsed.images,
        train_pairs=parsed.train_pairs,
        train_people=parsed.train_people,
        test_pairs=parsed.test_pairs,
        test_people=getattr(parsed, "test_people", NAMES["test_people"][0]),
        face=getattr(parsed, "face", "center"),
        skip_broken=parsed.skip_broken,
    )


def _lacks_lfw(folder: Path) -> bool:
    return not any((folder / name).exists() for name in (LFW, f"{LFW}.tgz"))


def add_data(command: argparse.ArgumentParser, images: str = LFW) -> None:
    """The data folder, its pictures and lists. `images` is the default: a name, or `FOLDER_ITSELF`."""
    command.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("FACEPAIR_LFW", "lfw")),
        help="folder of people, NAME/FILE, or of pictures and lists as LFW's (default: $FACEPAIR_LFW, else lfw)",
    )
    command.add_argument(
        "--images",
        default=images,
        help="in it, the folder of people, or its archive without .tgz (default: "
        + ("the folder itself)" if images == FOLDER_ITSELF else f"{images}, or the folder itself without that)"),
    )
    described = "in it, the {}; without the list, people are divided by their names (default: {}, or {})"
    for which, what in LISTS.items():
        usual, ours = NAMES[which]
        command.add_argument(f"--{which.replace('_', '-')}", default=usual, help=described.format(what, usual, ours))
    command.add_argument(
        "--skip-broken", action="store_true", help="name files that cannot be read or decoded, and go on without them"
    )
    command.add_argument(
        "--cache", type=Path, default=Path("cache"), help="folder for prepared pictures (default: cache)"
    )


def add_face(command: argparse.ArgumentParser, default: FaceOf, why: str) -> None:
    command.add_argument(
        "--face",
        choices=["largest", "center"],
        default=default,
        help=f"which face of a picture that has several (default: {default}, {why})",
    )


def add_device(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    add_threads(command)


def add_threads(command: argparse.ArgumentParser) -> None:
    command.add_argument("--threads", type=positive, help="CPU threads (default: one for each core)")


def add_out_file(command: argparse.ArgumentParser, what: str, *, default: Path | None = None, **options: Any) -> None:
    """The file that a command writes at its end; `require_writable` checks it before the command begins."""
    command.add_argument("--out", type=Path, default=default, help=what, **options)
    command.set_defaults(require_writable=files.require_writable_file)


def add_out_folder(command: argparse.ArgumentParser, what: str, *, default: Path | None = None) -> None:
    """The folder that a command writes into; `require_writable` checks it before the command begins."""
    command.add_argument("--out", type=Path, default=default, help=what)
    command.set_defaults(require_writable=files.require_writable_folder)


def require_writable(parsed: argparse.Namespace) -> None:
    """Raises DataError if a command's --out cannot be written, before hours are spent on what it should hold."""
    if getattr(parsed, "out", None) is None:
        return
    try:
        parsed.require_writable(parsed.out)
    except OSError as error:
        why = error.strerror or error
        raise DataError(f"{parsed.out}: cannot be written: {why}; choose another --out") from error


def seed(text: str) -> int:
    if not 0 <= (number := int(text)) < 2**32:
        raise argparse.ArgumentTypeError("must be from 0 to 4294967295")
    return number


def positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def open_album(source: DataSource, config: PreprocessingConfig) -> Album:
    """The prepared pictures. Prints which files are left out: broken ones, and those that show no person."""
    pictures = source.pictures
    if parallel.rank() > 0:
        return source.album(config)
    if ignored := describe_ignored(pictures):
        print(f"{pictures}: left out: {ignored}")
    album = source.album(config)
    for reason in album.broken.values():
        print(f"left out by --skip-broken: {reason}")
    return album


def spare(inputs: Sequence[Path], *written: Path) -> None:
    """Raises DataError if a file that a command writes is one that it reads."""
    for out in written:
        for each in inputs:
            if out.exists() and each.exists() and out.samefile(each):
                raise DataError(f"{out}: would be written over, and the command reads it; name another file with --out")


def say_copies(album: Album) -> None:
    """Prints which pictures look like copies of others, and warns of those of one person."""
    two_names, one_name = copies.describe_copies(album)
    if two_names:
        say(two_names)
    if one_name:
        warn([one_name])


def warn(sentences: Sequence[str]) -> None:
    """Prints a line for each on standard error."""
    for sentence in sentences:
        print(f"warning: {sentence}", file=sys.stderr, flush=True)


def require_with(parsed: argparse.Namespace, option: str, other: str) -> None:
    """Raises DataError if a command was given an option that does nothing without another."""

    def given(name: str) -> bool:
        return bool(getattr(parsed, name.removeprefix("--").replace("-", "_")))

    if given(option) and not given(other):
        raise DataError(f"{option}: does nothing without {other}; add it, or leave out {option}")


def read_pairs(album: Album, path: Path, *, skip: bool = False) -> PairSet:
    """A pair list. With `skip`, leaves out pairs whose pictures are missing and prints their number."""
    listed = lists.read_pairs(path)
    if not skip:
        return lists.resolve(path, listed, album)
    pairs = lists.pairs_at_hand(listed, album)
    print(f"{len(listed) - len(pairs)} of {len(listed)} pairs left out, because their pictures are missing")
    return pairs


def read_test_pairs(source: DataSource, album: Album, *, skip: bool = False) -> PairSet:
    """The test pairs. Raises DataError unless there are genuine and impostor pairs."""
    path = source.find_list("test_pairs")
    pairs = read_pairs(album, path, skip=skip) if path else source.pairs_of("test_pairs", album)
    pairs.require_both_kinds(path or source.pictures, "testing")
    return pairs


def find_test_pairs(source: DataSource, album: Album) -> PairSet | None:
    """The test pairs of a run. Without a list they are made, if there are enough people."""
    if source.find_list("test_pairs"):
        return read_test_pairs(source, album)
    try:
        pairs = read_test_pairs(source, album)
    except DataError as error:
        _say_once(f"the network will not be tested: {error}; add people, or write lists (python -m training split)")
        return None
    _say_once(f"{len(pairs)} test pairs of {source.describe_list('test_pairs')}, who are not trained on")
    return pairs


def _say_once(text: str) -> None:
    """Prints a line in one of several processes."""
    if parallel.rank() == 0:
        say(text)


def write_json(path: Path | None, found: BaseModel) -> None:
    """Writes a measurement and prints the path; does nothing without one. Raises DataError if it cannot be written."""
    if path is None:
        return
    try:
        with replacing(path) as partial:
            partial.write_text(found.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error}") from error
    print(f"wrote {path}")


def code_version() -> str:
    """The code's commit, with `-dirty` if files were changed since; the package's version outside git."""
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
