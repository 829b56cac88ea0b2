"""Embeds many files, part by part, and continues where an earlier call stopped."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from model.errors import DataError
from model.files import alone_in
from training.bulk.image_files import ImageTask
from training.bulk.parts import ATTEMPTS, PART_FILES, Part, PartCounts, PartEmbedder, read_counts
from training.bulk.workers import run_tasks

# Each process that ends adds an attempt at one file of its part; beyond that the cause is not a file.
MOST_ENDS = ATTEMPTS * PART_FILES + 3

# Embeds parts -> the counts of each, as they come.
Run = Callable[[ImageTask, Iterable[Part]], Iterator[PartCounts]]


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """The parts that together have the rows of all files, in the order of the files, and their counts."""

    parts: Sequence[Part]
    files: int
    embeddings: int
    problems: dict[str, int]

    def describe(self) -> str:
        """The counts as a sentence."""
        codes = ", ".join(f"{code} {count}" for code, count in sorted(self.problems.items()))
        return f"{self.embeddings} embeddings of {self.files} files" + (f"; without one: {codes}" if codes else "")


@contextmanager
def open_parts(out: Path) -> Iterator[Path]:
    """Yields the folder of the parts of a result, which no other command works in meanwhile. Raises DataError."""
    folder = parts_folder(out)
    with ExitStack() as held:
        try:
            held.enter_context(alone_in(folder))
        except BlockingIOError as error:
            raise DataError(f"{out}: another command writes it; wait for that one, or choose another --out") from error
        except OSError as error:
            raise DataError(f"{folder}: cannot be made: {error.strerror}") from error
        yield folder


def parts_folder(out: Path) -> Path:
    """The folder of the parts of a result while it is not finished."""
    return out.with_name(f"{out.name}.parts")


def run_here(workers: int) -> Run:
    """Embeds in processes of this machine, each on one thread, since they need not wait for each other."""
    return lambda task, parts: run_tasks(partial(PartEmbedder, task), parts, workers, MOST_ENDS)


def embed_parts(
    parts: Sequence[Part], task: ImageTask, folder: Path, run: Run, progress: Callable[[PartCounts], object]
) -> Embedded:
    """Embeds the parts that are not in `folder` yet. `progress` is told of each part, also of those that were there.

    Raises FacepairError.
    """
    _remove_others(folder, parts)
    counted: list[PartCounts] = []

    def count(counts: PartCounts) -> None:
        counted.append(counts)
        progress(counts)

    left = []
    for part in parts:
        if counts := read_counts(part):
            count(counts)
        else:
            left.append(part)
    for counts in run(task, left):
        count(counts)
    problems = sum((Counter(each.problems) for each in counted), Counter[str]())
    return Embedded(
        parts=parts,
        files=sum(each.files for each in counted),
        embeddings=sum(each.embeddings for each in counted),
        problems=dict(sorted(problems.items())),  # whichever part is finished first
    )


def remove_parts(folder: Path) -> None:
    """Removes the parts of a finished result."""
    shutil.rmtree(folder, ignore_errors=True)


def _remove_others(folder: Path, parts: Sequence[Part]) -> None:
    """Removes parts of files that have changed since, or of another task."""
    known = {part.path.stem for part in parts}
    for path in folder.iterdir():
        if path.is_file() and path.stem not in known:
            path.unlink(missing_ok=True)
