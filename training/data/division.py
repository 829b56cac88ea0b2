"""Divides people into those to train on and those to test on, by their names, and writes lists of both.

The names decide, and nothing else: people and pictures that are added later do not move anybody to the other side.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from model.errors import DataError
from training.data.album import Album, Key, PairSet
from training.data.datasets import HoldOut, balanced_pairs
from training.data.lists import pictures_at_hand

TEST_SHARE = 0.15
SEED = 0
# The lists' names, as `split` writes them.
TRAIN_PEOPLE, TRAIN_PAIRS = "train-people.txt", "train-pairs.txt"
TEST_PEOPLE, TEST_PAIRS = "test-people.txt", "test-pairs.txt"


@dataclass(frozen=True, kw_only=True)
class Division:
    """The names of the people to train on and of those to test on. Nobody is in both."""

    train: frozenset[str]
    test: frozenset[str]


def divide(names: Iterable[str], share: float = TEST_SHARE, seed: int = SEED) -> Division:
    """Each person is tested with the probability `share`, by a digest of the seed and the name."""
    everybody = frozenset(names)
    test = frozenset(name for name in everybody if _place(name, seed) < share)
    return Division(train=everybody - test, test=test)


def _place(name: str, seed: int) -> float:
    """From 0 to 1, evenly distributed over names."""
    return int.from_bytes(sha256(f"{seed} {name}".encode()).digest()[:8]) / 2**64


def count_pictures(names: Collection[str], keys: Iterable[Key]) -> dict[str, int]:
    """The number of pictures of each of these people."""
    return dict(sorted(Counter(name for name, _ in keys if name in names).items()))


def draw_pairs(names: Collection[str], album: Album) -> PairSet:
    """Some genuine pairs of each person, and as many impostor pairs."""
    people = pictures_at_hand(names, album)
    if not people:
        raise DataError("there are no people to make pairs of; add people")
    return balanced_pairs(people, HoldOut())


def format_people(people: Mapping[str, int]) -> str:
    """A list of people in the format of `lists.read_people`. Raises DataError for a name that it cannot hold."""
    for name in people:
        _require_listable(name)
    return "".join([f"{len(people)}\n", *(f"{name}\t{count}\n" for name, count in people.items())])


def format_pairs(pairs: PairSet, keys: Sequence[Key], files: Mapping[Key, str]) -> str:
    """A list of pairs for `lists.read_pairs`: genuine pairs, then impostor pairs. `files` has the pictures' file names.

    Raises DataError for a name that it cannot hold.
    """
    lines = []
    for left, right in sorted(pairs.keys_of(keys), key=lambda pair: pair[0][0] != pair[1][0]):
        for name in (left[0], files[left], right[0], files[right]):
            _require_listable(name)
        same = [left[0], files[left], files[right]]
        lines.append("\t".join(same if left[0] == right[0] else [*same[:2], right[0], files[right]]) + "\n")
    genuine = int(pairs.same.sum())
    return "".join([f"{genuine}\n"] * (2 * genuine == len(pairs)) + lines)


def _require_listable(name: str) -> None:
    if [name.strip()] != name.splitlines() or "\t" in name:
        raise DataError(f"{name!r} cannot be written into a list; rename it without tabs, line ends and outer spaces")
