"""The lists of LFW's View 2: ten folds of people, and the pairs of each.

people.txt begins with how many folds there are; each fold has the number of its people in a line, then the people.
pairs.txt begins with the number of folds and of pairs of each kind in a fold; then come the folds' pairs, one kind
after the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model.errors import DataError
from training.data.pairs import Pair, check_repeats, parse_pair, read_lines
from training.data.people import parse_person


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Who is in each fold, with how many pictures, and each fold's pairs; folds are numbered from 1."""

    people_path: Path
    pairs_path: Path
    people: Sequence[dict[str, int]]
    pairs: Sequence[Sequence[Pair]]

    @property
    def numbers(self) -> range:
        """Of all folds."""
        return range(1, len(self.people) + 1)


def read_protocol(people_path: Path, pairs_path: Path) -> Protocol:
    """Reads both lists. Raises DataError with file and line, or if a fold's pairs show people of another fold."""
    people, pairs = read_people_folds(people_path), read_pair_folds(pairs_path)
    if len(people) != len(pairs):
        raise DataError(f"{pairs_path}:1: has {len(pairs)} folds, but {people_path.name} has {len(people)}")
    for number, (names, fold) in enumerate(zip(people, pairs, strict=True), 1):
        for pair in fold:
            for person, _ in (pair.left, pair.right):
                if person not in names:
                    raise DataError(f"{pairs_path}:{pair.line}: {person} is not of fold {number} of {people_path.name}")
    return Protocol(people_path=people_path, pairs_path=pairs_path, people=people, pairs=pairs)


def read_people_folds(path: Path) -> list[dict[str, int]]:
    """How many pictures each person has, for each fold. Raises DataError with file and line."""
    lines = read_lines(path, "a list of folds of people")
    folds: list[dict[str, int]] = []
    known: set[str] = set()
    line = 1
    for _ in range(_number(path, 1, lines)):
        count = _number(path, line + 1, lines)
        rows = enumerate(lines[line + 1 : line + 1 + count], line + 2)
        folds.append(dict(parse_person(path, number, text) for number, text in rows))
        if len(folds[-1]) != count or known & folds[-1].keys():
            raise DataError(f"{path}:{line + 1}: fold {len(folds)} should have {count} people, each in this fold alone")
        known |= folds[-1].keys()
        line += count + 1
    return folds


def read_pair_folds(path: Path) -> list[list[Pair]]:
    """Each fold's pairs. Raises DataError with file and line."""
    lines = read_lines(path, "a list of folds of pairs")
    match lines[0].split() if lines else []:
        case [folds, count] if folds.isdecimal() and count.isdecimal() and int(folds) * int(count) > 0:
            size = 2 * int(count)
        case _:
            raise DataError(f"{path}:1: expected the number of folds and of pairs of each kind, with a tab between")
    pairs = [parse_pair(path, number, line) for number, line in enumerate(lines[1:], 2) if line.strip()]
    found = [pairs[start : start + size] for start in range(0, len(pairs), size)]
    kinds = [(len(fold), sum(pair.same for pair in fold)) for fold in found]
    if kinds != [(size, size // 2)] * int(folds):
        raise DataError(f"{path}:1: announces {folds} folds of {count} pairs of each kind, but has others")
    check_repeats(path, pairs)
    return found


def _number(path: Path, line: int, lines: Sequence[str]) -> int:
    text = lines[line - 1].strip() if line <= len(lines) else ""
    if not text.isdecimal() or int(text) == 0:
        raise DataError(f"{path}:{line}: expected a number of folds or of people")
    return int(text)
