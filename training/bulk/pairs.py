"""Decides about the pairs of a CSV file as the service does: each image is embedded once, however many pairs it has.

P pairs, D embedding
"""

import csv
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from model.arrays import Embeddings
from model.checkpoint import Header
from model.conditions import ComparedPair, decide_for_pair, rate_of_pair, shared_conditions, with_shown
from model.errors import DataError, InferenceError
from model.rules import Rule
from model.verifier import Verifier
from training.bulk.embedding import Embedded
from training.bulk.listing import Listing
from training.bulk.outputs import values_of, writing_table
from training.bulk.parts import read_part, refused
from training.data.lists import read_lines

HEADINGS = ["image1", "image2"]
CHUNK = 4096
SCHEMA = pa.schema(
    [
        ("image1", pa.string()),
        ("image2", pa.string()),
        ("decision", pa.string()),
        ("similarity", pa.float64()),
        ("fmr_at_similarity", pa.float64()),
        ("fmr_is_upper_bound", pa.bool_()),
        ("conditions", pa.list_(pa.string())),
        ("problem_of", pa.string()),
        ("code", pa.string()),
        ("detail", pa.string()),
    ]
)
# The places of these columns.
DECISION, CODE = (SCHEMA.get_field_index(name) for name in ("decision", "code"))


@dataclass(frozen=True, kw_only=True)
class PairList:
    """The images of a list of pairs, each once, and the two of each pair by their places among them."""

    images: Listing
    left: "array[int]"
    right: "array[int]"

    @classmethod
    def read(cls, path: Path) -> Self:
        """A CSV file with two paths a line, from the file's folder, below `image1,image2` or without headings.

        Raises DataError with file and line.
        """
        places: dict[str, int] = {}
        left, right = array("q"), array("q")
        for number, row in _read_rows(path):
            names = [name.strip() for name in row]
            if not any(names) or (number == 1 and names == HEADINGS):
                continue
            if len(names) != len(HEADINGS) or not all(names):
                raise DataError(f"{path}:{number}: expected two paths, separated by a comma")
            for side, name in zip((left, right), names, strict=True):
                side.append(places.setdefault(name, len(places)))
        if not left:
            raise DataError(f"{path}: the list has no pairs")
        return cls(images=Listing(root=path.parent, names=list(places)), left=left, right=right)


def _read_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file, each with the number of its last line. Raises DataError."""
    rows = csv.reader(read_lines(path, "a list of pairs"))
    try:
        for row in rows:
            yield rows.line_num, row
    except csv.Error as error:
        raise DataError(
            f"{path}:{rows.line_num}: is not valid CSV, perhaps because of a quotation mark: {error}"
        ) from error


@dataclass(frozen=True, kw_only=True)
class EmbeddedImages:
    """Of each image its row among `embeddings` (N, D), -1 without one, its conditions, and its problem."""

    embeddings: Embeddings
    rows: "array[int]"
    conditions: list[list[str] | None]
    problems: dict[int, tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, embedded: Embedded, path: Path, dimension: int) -> Self:
        """Reads parts with a row for each image. The embeddings are in the file `path`, which is mapped to memory.

        Raises DataError if it cannot be written.
        """
        rows, conditions = array("q"), list[list[str] | None]()
        problems: dict[int, tuple[str, str]] = {}
        written = 0
        with refused(path), path.open("wb") as file:
            for part in embedded.parts:
                table = read_part(part.path)
                there = table.filter(pc.is_null(table["code"]))
                file.write(values_of(there).tobytes())  # `tofile` may fail in silence
                for row in table.select(["conditions", "code", "detail"]).to_pylist():
                    if row["code"]:
                        problems[len(rows)] = row["code"], row["detail"]
                    rows.append(-1 if row["code"] else written)
                    written += not row["code"]
                    conditions.append(row["conditions"])
        empty: Embeddings = np.empty((0, dimension), np.float32)
        embeddings = np.memmap(path, np.float32, "r", shape=(written, dimension)) if written else empty
        return cls(embeddings=embeddings, rows=rows, conditions=conditions, problems=problems)


class PairVerifier:
    """Decides about pairs of embedded images by a rule."""

    def __init__(self, verifier: Verifier, rule: Rule, pairs: PairList, images: EmbeddedImages) -> None:
        self._verifier, self._rule, self._pairs, self._images = verifier, rule, pairs, images

    def write(self, out: Path, progress: Callable[[int], object]) -> dict[str, int]:
        """Writes a row for each pair, and returns the number of each decision or problem. `progress` is told of pairs.

        Raises DataError.
        """
        counts: dict[str, int] = {}
        with writing_table(out, SCHEMA) as table:
            for start in range(0, len(self._pairs.left), CHUNK):
                rows = list(self._rows(range(start, min(start + CHUNK, len(self._pairs.left)))))
                for row in rows:
                    said = row[DECISION] or row[CODE]
                    counts[said] = counts.get(said, 0) + 1
                table.write(rows)
                progress(len(rows))
        return counts

    def _rows(self, chunk: range) -> Iterator[list[Any]]:
        images, pairs = self._images, self._pairs
        sides = [(pairs.left[number], pairs.right[number]) for number in chunk]
        usable = [side for side in sides if not {*side} & images.problems.keys()]
        compared = iter(self._compare(usable))
        for left, right in sides:
            names = [pairs.images.names[left], pairs.images.names[right]]
            for heading, image in zip(HEADINGS, (left, right), strict=True):
                if problem := images.problems.get(image):
                    yield [*names, *[None] * 5, heading, *problem]
                    break
            else:
                yield [*names, *self._decide(next(compared), left, right)]

    def _compare(self, pairs: Sequence[tuple[int, int]]) -> list[ComparedPair | InferenceError]:
        """Each pair compared, or the error of one that has no similarity."""
        if not pairs:
            return []
        rows = np.array([[self._images.rows[left], self._images.rows[right]] for left, right in pairs])
        left, right = self._images.embeddings[rows[:, 0]], self._images.embeddings[rows[:, 1]]
        try:
            return [*self._verifier.compare_pairs(left, right)]
        except InferenceError as error:
            return [error] if len(pairs) == 1 else [self._compare([pair])[0] for pair in pairs]

    def _decide(self, pair: ComparedPair | InferenceError, left: int, right: int) -> list[Any]:
        if isinstance(pair, InferenceError):
            return [*[None] * 6, pair.code, str(pair)]
        header: Header = self._verifier.header
        one, other = self._images.conditions[left], self._images.conditions[right]
        of_both = None if one is None or other is None else shared_conditions([one], [other])
        shared = with_shown(of_both, pair.conditions)
        similarity = pair.similarity
        rates, known, rule = header.condition_rates, shared or [], self._rule
        decision = decide_for_pair(similarity, rule.threshold, rule.max_fmr, rates, known)
        rate = rate_of_pair(similarity, header.false_match_curve, rates, known)
        of_rate = [rate.value, rate.is_bound] if rate else [None, None]
        return [decision, similarity, *of_rate, shared, None, None, None]
