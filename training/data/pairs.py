"""Pair lists in LFW's format, and the split of the training pairs into training and validation.

A list begins with how many pairs of each kind it has (the line may be absent), then has one pair a line, tab-separated:
`NAME 1 4` for two pictures of one person, `NAME 1 OTHER 2` for pictures of two. A picture is a number (4 stands for
the file NAME_0004) or a file name.

P pairs
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from model.errors import DataError

# A picture: the person's name, and the file's name without its ending.
Key = tuple[str, str]


def key_of(path: Path) -> Key:
    """The key of a picture file, of whose path the last two parts count."""
    return path.parent.name, path.stem


def name_of(key: Key) -> str:
    """PERSON/FILE, as results and messages name a picture."""
    return "/".join(key)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two pictures and whether they show the same person; `line` is where the list has it."""

    left: Key
    right: Key
    line: int

    @property
    def same(self) -> bool:
        return self.left[0] == self.right[0]


@dataclass(frozen=True, kw_only=True)
class PairSet:
    """Pairs as indices into an album: left and right int64 (P,), same float32 (P,), 1 for the same person."""

    left: Tensor
    right: Tensor
    same: Tensor

    def __len__(self) -> int:
        return len(self.same)

    def __getitem__(self, chosen: Tensor) -> "PairSet":
        """The pairs at the indices `chosen`, int64."""
        return PairSet(left=self.left[chosen], right=self.right[chosen], same=self.same[chosen])

    def keys_of(self, album_keys: Sequence[Key]) -> list[tuple[Key, Key]]:
        """The keys of the two pictures of each pair; `album_keys` are all those of the album."""
        sides = zip(self.left.tolist(), self.right.tolist(), strict=True)
        return [(album_keys[left], album_keys[right]) for left, right in sides]


def read_pairs(path: Path) -> list[Pair]:
    """Reads a pair list. Raises DataError with file and line."""
    lines = read_lines(path, "a pair list")
    count = int(lines[0]) if lines and lines[0].strip().isdecimal() else None
    first = 0 if count is None else 1
    pairs = [parse_pair(path, number, line) for number, line in enumerate(lines[first:], first + 1) if line.strip()]
    if not pairs:
        raise DataError(f"{path}: the list has no pairs")
    _check_count(path, pairs, count)
    check_repeats(path, pairs)
    return pairs


def read_lines(path: Path, what: str) -> list[str]:
    """The lines of a list. Raises DataError."""
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as {what}: {error}") from error


def resolve(
    path: Path, pairs: Sequence[Pair], index: Mapping[Key, int], faceless: Collection[Key] = frozenset()
) -> PairSet:
    """Pairs -> indices of their pictures. Raises DataError that names what is missing and where it is asked for.

    Of what is missing, the `faceless` are there, but no face was found in them.
    """
    missing = {key: pair.line for pair in reversed(pairs) for key in (pair.right, pair.left) if key not in index}
    if missing:
        first, line = min(missing.items(), key=lambda item: item[1])
        others = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
        what = "no face large enough was found in" if first in faceless else "there is no picture"
        raise DataError(f"{path}:{line}: {what} {name_of(first)}{others}")
    return index_pairs(pairs, index)


def index_pairs(pairs: Sequence[Pair], index: Mapping[Key, int]) -> PairSet:
    """Pairs -> indices of their pictures, of which all must be there."""
    return PairSet(
        left=torch.tensor([index[pair.left] for pair in pairs]),
        right=torch.tensor([index[pair.right] for pair in pairs]),
        same=torch.tensor([float(pair.same) for pair in pairs]),
    )


def require_both_kinds(path: Path, pairs: PairSet, use: str) -> None:
    """Raises DataError unless some pairs are of one person and some of two: no error rate can do without."""
    same = int(pairs.same.sum())
    if not 0 < same < len(pairs):
        raise DataError(f"{path}: to {use} takes pairs of one person and of two; {same} of {len(pairs)} are of one")


def split(pairs: PairSet, fraction: float, seed: int) -> tuple[PairSet, PairSet]:
    """One random split by pairs into training and validation, `fraction` of them for validation."""
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(seed))
    held_out = round(len(pairs) * fraction)
    return pairs[order[held_out:]], pairs[order[:held_out]]


def shared_people(training: PairSet, validation: PairSet, keys: Sequence[Key]) -> int:
    """How many validation pairs show a person who is in the training pairs too: a split by pairs leaks these."""
    known = {person for pair in training.keys_of(keys) for person, _ in pair}
    return sum(left[0] in known or right[0] in known for left, right in validation.keys_of(keys))


def parse_pair(path: Path, number: int, line: str) -> Pair:
    """A line of a pair list, of that number. Raises DataError."""
    match [field.strip() for field in line.split("\t")]:
        case [person, left, right]:
            return Pair(left=_key(person, left), right=_key(person, right), line=number)
        case [person, left, other, right] if person != other:
            return Pair(left=_key(person, left), right=_key(other, right), line=number)
    raise DataError(f"{path}:{number}: expected NAME, 1, 2 or NAME, 1, OTHER, 2 with tabs between")


def _key(person: str, picture: str) -> Key:
    return (person, f"{person}_{int(picture):04d}" if picture.isdecimal() else Path(picture).stem)


def check_repeats(path: Path, pairs: Sequence[Pair]) -> None:
    """Raises DataError for a picture paired with itself, or two pictures paired twice, in whichever order."""
    lines: dict[frozenset[Key], int] = {}
    for pair in pairs:
        if pair.left == pair.right:
            raise DataError(f"{path}:{pair.line}: {name_of(pair.left)} is paired with itself")
        first = lines.setdefault(frozenset((pair.left, pair.right)), pair.line)
        if first != pair.line:
            raise DataError(f"{path}:{pair.line}: is the pair of line {first} again")


def _check_count(path: Path, pairs: Sequence[Pair], count: int | None) -> None:
    same = sum(pair.same for pair in pairs)
    if count is not None and (same, len(pairs) - same) != (count, count):
        raise DataError(
            f"{path}:1: announces {count} pairs of each kind, but has {same} same and {len(pairs) - same} different"
        )
