"""Reads lists of pairs and of people in LFW's formats, and finds their pictures in an album.

The first line of a list of pairs is the number of pairs of each kind (it may be absent). Each further line is a pair,
tab-separated: `NAME 1 4` for two pictures of one person, `NAME 1 OTHER 2` for pictures of two people. A picture is a
number (4 stands for the file NAME_0004) or a file name, with or without its ending. The first line of a list of people
is the number of people (it may be absent). Each further line is `NAME`, tab, number of images.

View 2's lists have ten folds. The list of people begins with the number of folds; each fold has a line with the number
of its people, then the people. The list of pairs begins with the number of folds and the number of pairs of each kind
in a fold; then follow the folds' pairs, one kind after the other.
"""

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from model.errors import DataError
from training.data.album import Album, Key, PairSet, composed, name_of
from training.data.pictures import ENDINGS


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two pictures. `line` is the pair's line in the list."""

    left: Key
    right: Key
    line: int

    @property
    def same(self) -> bool:
        return self.left[0] == self.right[0]


@dataclass(frozen=True, kw_only=True)
class Folds:
    """View 2: each fold's people with their numbers of pictures, and its pairs. Folds are numbered from 1."""

    people_path: Path
    pairs_path: Path
    people: Sequence[dict[str, int]]
    pairs: Sequence[Sequence[Pair]]

    @property
    def numbers(self) -> range:
        return range(1, len(self.people) + 1)


def read_pairs(path: Path) -> list[Pair]:
    """Reads a pair list. Raises DataError with file and line."""
    count, lines = _read_counted(path, "a pair list")
    pairs = [_parse_pair(path, number, line) for number, line in lines]
    if not pairs:
        raise DataError(f"{path}: the list has no pairs")
    same = sum(pair.same for pair in pairs)
    if count is not None and (same, len(pairs) - same) != (count, count):
        raise DataError(
            f"{path}:1: the first line says {count} pairs of each kind, "
            f"but there are {same} genuine and {len(pairs) - same} impostor pairs"
        )
    _check_repeats(path, pairs)
    return pairs


def read_people(path: Path) -> dict[str, int]:
    """Reads a list of people: each person's number of pictures. Raises DataError with file and line."""
    announced, lines = _read_counted(path, "a list of people")
    people: dict[str, int] = {}
    for number, line in lines:
        name, count = _parse_person(path, number, line)
        if name in people:
            raise DataError(f"{path}:{number}: {name} is listed twice; remove a line")
        people[name] = count
    if not people:
        raise DataError(f"{path}: the list has no people")
    if announced not in (None, len(people)):
        raise DataError(f"{path}:1: the first line says {announced} people, but there are {len(people)}")
    return people


def read_folds(people_path: Path, pairs_path: Path) -> Folds:
    """Reads both lists. Raises DataError with file and line, or if a fold's pairs show people of another fold."""
    people, pairs = read_people_folds(people_path), read_pair_folds(pairs_path)
    if len(people) != len(pairs):
        raise DataError(f"{pairs_path}:1: has {len(pairs)} folds, but {people_path.name} has {len(people)}")
    for number, (names, fold) in enumerate(zip(people, pairs, strict=True), 1):
        for pair in fold:
            for person, _ in (pair.left, pair.right):
                if person not in names:
                    raise DataError(f"{pairs_path}:{pair.line}: {person} is not in fold {number} of {people_path.name}")
    return Folds(people_path=people_path, pairs_path=pairs_path, people=people, pairs=pairs)


def read_people_folds(path: Path) -> list[dict[str, int]]:
    """Each person's number of pictures, for each fold. Raises DataError with file and line."""
    lines = read_lines(path, "a list of folds of people")
    folds: list[dict[str, int]] = []
    known: set[str] = set()
    line = 1
    for _ in range(_number(path, 1, lines)):
        count = _number(path, line + 1, lines)
        rows = enumerate(lines[line + 1 : line + 1 + count], line + 2)
        folds.append(dict(_parse_person(path, number, text) for number, text in rows))
        if len(folds[-1]) != count or known & folds[-1].keys():
            raise DataError(f"{path}:{line + 1}: fold {len(folds)} should have {count} people, each in no other fold")
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
    pairs = [_parse_pair(path, number, line) for number, line in enumerate(lines[1:], 2) if line.strip()]
    found = [pairs[start : start + size] for start in range(0, len(pairs), size)]
    kinds = [(len(fold), sum(pair.same for pair in fold)) for fold in found]
    if kinds != [(size, size // 2)] * int(folds):
        raise DataError(
            f"{path}:1: the first line says {folds} folds of {count} pairs of each kind, but the pairs differ"
        )
    _check_repeats(path, pairs)
    return found


def resolve(path: Path, pairs: Sequence[Pair], album: Album) -> PairSet:
    """The pairs of the list at `path`, in an album, without those of broken files that were left out of it.

    Raises DataError with the line of the first missing picture.
    """
    there = album.index().keys() | album.broken.keys()
    missing = {key: pair.line for pair in reversed(pairs) for key in (pair.right, pair.left) if key not in there}
    if missing:
        first, line = min(missing.items(), key=lambda item: item[1])
        others = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
        what = "no face large enough was found in" if first in album.faceless else "there is no picture"
        raise DataError(f"{path}:{line}: {what} {name_of(first)}{others}")
    return pairs_at_hand(pairs, album)


def pairs_at_hand(pairs: Sequence[Pair], album: Album) -> PairSet:
    """Those pairs whose pictures are both in an album."""
    index = album.index()
    there = [pair for pair in pairs if pair.left in index and pair.right in index]
    return PairSet(
        left=torch.tensor([index[pair.left] for pair in there]),
        right=torch.tensor([index[pair.right] for pair in there]),
        same=torch.tensor([float(pair.same) for pair in there]),
    )


def pictures_at_hand(people: Collection[str], album: Album) -> dict[str, Tensor]:
    """Each person's pictures in an album. People without pictures are left out."""
    found: dict[str, list[int]] = {name: [] for name in people}
    for index, (name, _) in enumerate(album.keys):
        if name in found:
            found[name].append(index)
    return {name: torch.tensor(indices) for name, indices in found.items() if indices}


def pictures_of(path: Path, people: Mapping[str, int], album: Album) -> dict[str, Tensor]:
    """Each person's pictures in an album. Raises DataError unless every person has as many as the list says.

    Broken files that were left out of the album count as there.
    """
    found = pictures_at_hand(people, album)
    left_out = Counter(name for name, _ in album.broken)
    differing = {name: count for name, count in people.items() if count != len(found.get(name, ())) + left_out[name]}
    if differing:
        name, count = next(iter(differing.items()))
        there = len(found.get(name, ()))
        without = sorted(name_of(key) for key in album.faceless if key[0] == name)
        again = "; `split EXPERIMENT` makes lists for its crops" if without else ""
        why = f"; no face large enough was found in {', '.join(without)}{again}" if without else ""
        more = f"; {len(differing) - 1} more people differ" if len(differing) > 1 else ""
        raise DataError(f"{path}: {name} should have {count} pictures, but the album has {there}{why}{more}")
    return found


def _parse_pair(path: Path, number: int, line: str) -> Pair:
    match _fields(line):
        case [person, left, right]:
            return Pair(left=_key(person, left), right=_key(person, right), line=number)
        case [person, left, other, right] if person != other:
            return Pair(left=_key(person, left), right=_key(other, right), line=number)
        case [person, left, _, right]:
            raise DataError(f"{path}:{number}: expected NAME once for two pictures of one person: {person}, 1, 2")
    raise DataError(f"{path}:{number}: expected NAME, 1, 2 or NAME, 1, OTHER, 2, separated by tabs")


def _fields(line: str) -> list[str]:
    return [composed(field.strip()) for field in line.split("\t")]


def _key(person: str, picture: str) -> Key:
    if picture.isdecimal():
        return person, f"{person}_{int(picture):04d}"
    # Only an ending of pictures is one: `at.the.sea` may stand for the file at.the.sea.jpg.
    return person, Path(picture).stem if Path(picture).suffix.lower() in ENDINGS else picture


def _check_repeats(path: Path, pairs: Sequence[Pair]) -> None:
    """Raises DataError for a picture paired with itself, and for a pair that occurs twice, in either order."""
    lines: dict[frozenset[Key], int] = {}
    for pair in pairs:
        if pair.left == pair.right:
            raise DataError(f"{path}:{pair.line}: {name_of(pair.left)} is paired with itself")
        first = lines.setdefault(frozenset((pair.left, pair.right)), pair.line)
        if first != pair.line:
            raise DataError(f"{path}:{pair.line}: the same pair as in line {first}; remove a line")


def _parse_person(path: Path, number: int, line: str) -> tuple[str, int]:
    match _fields(line):
        case [name, count] if name and count.isdecimal() and int(count) > 0:
            return name, int(count)
    raise DataError(f"{path}:{number}: expected NAME and the number of images, separated by a tab")


def _number(path: Path, line: int, lines: Sequence[str]) -> int:
    text = lines[line - 1].strip() if line <= len(lines) else ""
    if not text.isdecimal() or int(text) == 0:
        raise DataError(f"{path}:{line}: expected a number of folds or of people")
    return int(text)


def _read_counted(path: Path, what: str) -> tuple[int | None, list[tuple[int, str]]]:
    """The count in the first line, if it has one, and the other lines with their numbers, without empty ones."""
    lines = [(number, line) for number, line in enumerate(read_lines(path, what), 1) if line.strip()]
    if lines and lines[0][0] == 1 and lines[0][1].strip().isdecimal():
        return int(lines[0][1]), lines[1:]
    return None, lines


def read_lines(path: Path, what: str) -> list[str]:
    try:
        data = path.read_bytes()
        return data.decode(_encoding_of(data)).splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: cannot be read as {what}; save it as UTF-8: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read as {what}: {error}") from error


def _encoding_of(data: bytes) -> str:
    """Windows programs save "Unicode" as UTF-16. Most say so in the first two bytes, else it has zeros for UTF-8."""
    if data[:2] in (BOM_UTF16_LE, BOM_UTF16_BE):
        return "utf-16"
    if b"\0" in data:
        return "utf-16-le" if data[1::2].count(0) > data[::2].count(0) else "utf-16-be"
    return "utf-8-sig"
