"""Parts of a long list of files: each is embedded by one process, and stored in one file.

A process that ends loses its part alone, and another begins that part again. A part's file is complete or absent.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from model.arrays import Pixels
from model.errors import DataError, UnreadableFile
from model.files import replacing
from training.bulk.image_files import ImageEmbedder, ImageTask, Row, ended_row

PART_FILES = 64
# A file at which processes ended so often is left out: once may have been a lack of memory, or a person's `kill`.
ATTEMPTS = 2
COUNTS_KEY = b"facepair-counts"


@dataclass(frozen=True, kw_only=True)
class Part:
    """Files by their names in `root`, and the file for their rows."""

    root: Path
    names: tuple[str, ...]
    path: Path


@dataclass(frozen=True, kw_only=True)
class PartCounts:
    """How many files a part has, how many embeddings, and the number of its problems by their code."""

    files: int
    embeddings: int
    problems: dict[str, int]


class PartEmbedder:
    """Embeds parts, in a process of its own."""

    def __init__(self, task: ImageTask) -> None:
        """Raises FacepairError."""
        self._embedder = ImageEmbedder(task)

    def __call__(self, part: Part) -> PartCounts:
        """Writes the part's file, if it is not there. Raises DeviceLost or DataError."""
        if counts := read_counts(part):
            return counts
        attempts = Attempts(part.path.with_suffix(".attempts"))
        rows: list[Row] = []
        crops: list[tuple[Row, Pixels]] = []
        try:
            for index, name in enumerate(part.names):
                if attempts.ended_at(index) >= ATTEMPTS:
                    rows.append(ended_row(_shown(name)))
                    continue
                attempts.begin(index)
                for row, crop in self._embedder.read(part.root / name, _shown(name)):
                    rows.append(row)
                    if crop is not None:
                        crops.append((row, crop))
        except SystemExit:  # the process is told to end, which is no fault of the file
            attempts.begin(None)
            raise
        attempts.begin(None)
        self._embedder.embed(crops)
        counts = _write(part, rows, self._embedder.header.network.dimension)
        attempts.forget()
        return counts


@dataclass(frozen=True, kw_only=True)
class PartTask:
    """A part as a task of a cluster, whose workers keep the network between parts."""

    task: ImageTask
    part: Part

    def __call__(self) -> PartCounts:
        """Raises what PartEmbedder raises."""
        return _embedder(self.task)(self.part)


@lru_cache(1)
def _embedder(task: ImageTask) -> PartEmbedder:
    return PartEmbedder(task)


class Attempts:
    """A log of the file that a part's process is at. If the process ends, the next one reads where.

    A line is `begin` for a new process, the index of a file in the part, or `-` when no file is at hand.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        attempts = path.read_text().split("begin\n")[1:] if path.exists() else []
        self._ends = Counter(lines.splitlines()[-1] for lines in attempts if lines)
        self._log("begin")

    def ended_at(self, index: int) -> int:
        """How many processes ended at a file."""
        return self._ends[str(index)]

    def begin(self, index: int | None) -> None:
        """Notes the file that is begun, or that none is at hand."""
        self._log("-" if index is None else str(index))

    def forget(self) -> None:
        """Removes the log of a part that is finished."""
        self._path.unlink(missing_ok=True)

    def _log(self, line: str) -> None:
        with refused(self._path), self._path.open("a") as file:
            file.write(f"{line}\n")


def schema_of(dimension: int) -> pa.Schema:
    """The columns of a part: those of Row."""
    return pa.schema(
        [
            pa.field("path", pa.string(), nullable=False),
            pa.field("sha256", pa.string()),
            pa.field("face", pa.int16()),
            pa.field("faces_found", pa.int16()),
            pa.field("conditions", pa.list_(pa.string())),
            pa.field("warnings", pa.list_(pa.string())),
            pa.field("embedding", pa.list_(pa.float32(), dimension)),
            pa.field("code", pa.string()),
            pa.field("detail", pa.string()),
        ]
    )


def read_part(path: Path) -> pa.Table:
    """The rows of a part."""
    return pq.ParquetFile(path).read(use_threads=False)


def read_counts(part: Part) -> PartCounts | None:
    """The counts of a part that is finished, or None. It is not if a file that could not be read can be read now."""
    try:
        counts = PartCounts(**json.loads(pq.read_schema(part.path).metadata[COUNTS_KEY]))
    except FileNotFoundError:
        return None
    if UnreadableFile.code not in counts.problems:
        return counts
    rows = read_part(part.path).select(["path", "code"]).to_pylist()
    unread = [row["path"] for row in rows if row["code"] == UnreadableFile.code]
    return None if any(can_read(part.root / name) for name in unread) else counts


def can_read(path: Path) -> bool:
    """Whether it is a plain file whose first byte can be read."""
    try:
        with path.open("rb") as file:
            return bool(path.is_file() and file.read(1))
    except OSError:
        return False


def _write(part: Part, rows: Sequence[Row], dimension: int) -> PartCounts:
    problems = Counter(row.code for row in rows if row.code)
    counts = PartCounts(files=len(part.names), embeddings=len(rows) - problems.total(), problems=dict(problems))
    schema = schema_of(dimension).with_metadata({COUNTS_KEY: json.dumps(vars(counts))})
    columns = {name: [getattr(row, name) for row in rows] for name in schema.names if name != "embedding"}
    absent = np.array([row.embedding is None for row in rows])
    values = np.stack([np.zeros(dimension, np.float32) if row.embedding is None else row.embedding for row in rows])
    embeddings = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), dimension, mask=pa.array(absent))
    table = pa.table({**columns, "embedding": embeddings}, schema=schema)
    with refused(part.path), replacing(part.path) as partial:
        pq.write_table(table, partial, use_dictionary=False)
    return counts


@contextmanager
def refused(path: Path) -> Iterator[None]:
    """Raises DataError if the block cannot write the file."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}; choose another --out") from error


def _shown(name: str) -> str:
    """A file's name as text: bytes that are not UTF-8 as backslashes and digits."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
