"""False match rates over more impostor pairs than fit into memory, exactly, in several passes over their logits.

A pass counts logits by their upper 16 bits, the next ones those by all 32 bits that a threshold depends on.

N pictures, M people, A rows and B columns of a block, S people with several pictures
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.similarity import FalseMatchCurve, OperatingPoint
from training.statistics import similar_people
from training.statistics.operating_points import (
    WANTED,
    FalseMatchRates,
    curve_ranks,
    interval_of_people,
)
from training.statistics.rates import Scores
from training.statistics.resampling import Owners

Logits = NDArray[np.float32]
Similarity = Callable[[Logits], Scores]
# The number of the first row's picture, and the logits (A, B) of pictures from it on with all pictures from it on.
Block = tuple[int, Logits]
HALF_BITS = 16
HALF = 1 << HALF_BITS
HIGHEST_KEY = (1 << 2 * HALF_BITS) - 1


@dataclass(frozen=True, kw_only=True)
class Stream:
    """All pairs of N pictures, whose people `owner` (N,), from 0, are in order.

    `blocks` gives the same blocks each time. `similarity` rises with the logits.
    """

    owner: Owners
    blocks: Callable[[], Iterator[Block]]
    similarity: Similarity

    @property
    def pictures(self) -> NDArray[np.int64]:
        """(M,): how many pictures each person has."""
        return np.bincount(self.owner)

    @property
    def pairs(self) -> int:
        """The number of impostor pairs."""
        return (len(self.owner) ** 2 - int((self.pictures**2).sum())) // 2

    def strangers(self) -> Iterator[tuple[int, Logits, NDArray[np.bool_]]]:
        """Each block, and which of its pairs are impostor pairs, so that each of these occurs once: bool (A, B)."""
        first_after = np.cumsum(self.pictures)[self.owner]
        for first, logits in self.blocks():
            columns = np.arange(first, len(self.owner))
            yield first, logits, columns >= first_after[first : first + len(logits), None]


def false_match_rates(stream: Stream, split: str) -> FalseMatchRates:
    """What `operating_points.false_match_rates` gives, and the points' rates over most similar strangers."""
    counts = _Counts(stream)
    counts.complete(lambda: (_thresholds(counts), _rates(counts)))
    thresholds, rates = _thresholds(counts), _rates(counts)
    wanted = {name: each for name, each in thresholds.items() if each is not None and WANTED[name] * stream.pairs >= 1}
    points = []
    hits = _tables(stream, [counts.cut(threshold) for threshold in wanted.values()])
    pairs = np.outer(stream.pictures, stream.pictures).astype(float)
    np.fill_diagonal(pairs, 0)
    for (name, threshold), table in zip(wanted.items(), hits, strict=True):
        accepted = int(table.sum()) // 2
        points.append(
            OperatingPoint(
                name=name,
                max_fmr=WANTED[name],
                threshold=threshold,
                fmr=accepted / stream.pairs,
                interval=interval_of_people(table, pairs, accepted, stream.pairs),
                split=split,
                pairs=stream.pairs,
                people=len(stream.pictures),
            )
        )
    curve = None
    if len(rates) > 1:
        people = len(stream.pictures)
        curve = FalseMatchCurve(
            thresholds=tuple(rates), rates=tuple(rates.values()), split=split, pairs=stream.pairs, people=people
        )
    cuts = [counts.cut(point.threshold) for point in points]
    return _with_similar_strangers(stream, points, cuts), curve


def _thresholds(counts: "_Counts") -> dict[str, float | None]:
    """As `operating_points.lowest_threshold` gives them."""
    return {name: _lowest_threshold(counts, int(rate * counts.stream.pairs)) for name, rate in WANTED.items()}


def _lowest_threshold(counts: "_Counts", allowed: int) -> float | None:
    refused = counts.similarity_of(counts.key_at(allowed))
    following = counts.next_above(refused)
    threshold = (refused + following) / 2
    return threshold if threshold > refused else (following if following > refused else None)


def _rates(counts: "_Counts") -> dict[float, float]:
    """The thresholds of `operating_points.false_match_curve` in order, with their rates."""
    pairs = counts.stream.pairs
    found = {counts.similarity_of(counts.key_at(rank - 1)) for rank in curve_ranks(pairs).tolist()}
    return {threshold: counts.at_least(counts.cut(threshold)) / pairs for threshold in sorted(found)}


class _Counts:
    """How many impostor pairs have which logit. Logits are keys from 0 to 2^32 - 1 that have the same order."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._coarse = np.zeros(HALF, np.int64)
        for _, logits, strangers in stream.strangers():
            self._coarse += np.bincount(_keys(logits[strangers]) >> HALF_BITS, minlength=HALF)
        self._above = np.append(np.cumsum(self._coarse[::-1])[::-1], 0)
        self._fine: dict[int, NDArray[np.int64]] = {}
        self._missing: set[int] = set()

    def complete(self, work: Callable[[], object]) -> None:
        """Counts, in further passes, all that `work` asks for."""
        work()
        while self._missing:
            self._count(self._missing)
            self._missing = set()
            work()

    def key_at(self, rank: int) -> int:
        """The key with this rank, 0 for the highest."""
        upper = int(np.searchsorted(-self._above, -rank, "left")) - 1
        fine = self._of(upper)
        from_top = np.cumsum(fine[::-1])
        lower = HALF - 1 - int(np.searchsorted(from_top, rank - int(self._above[upper + 1]), "right"))
        return upper << HALF_BITS | max(lower, 0)

    def at_least(self, key: int) -> int:
        """The number of pairs with this key or a higher one."""
        upper, lower = key >> HALF_BITS, key & (HALF - 1)
        return int(self._above[upper + 1] + self._of(upper)[lower:].sum())

    def similarity_of(self, key: int) -> float:
        return float(self.stream.similarity(_logits(np.array([key])))[0])

    def cut(self, threshold: float) -> int:
        """The lowest key whose similarity is at least the threshold, which is at most that of the highest key."""
        return self._lowest(lambda similarity: similarity >= threshold)

    def next_above(self, similarity: float) -> float:
        """The lowest similarity of a pair above this one, or 1 if there is none."""
        key = self._lowest(lambda each: each > similarity)
        left = self.at_least(key)
        return self.similarity_of(self.key_at(left - 1)) if left else 1.0

    def _lowest(self, accepts: Callable[[float], bool]) -> int:
        """By bisection."""
        low, high = (int(key) for key in _keys(np.array([-np.inf, np.inf], np.float32)))
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if accepts(self.similarity_of(middle)) else (middle + 1, high)
        return low

    def _of(self, upper: int) -> NDArray[np.int64]:
        if self._coarse[upper] and upper not in self._fine:
            self._missing.add(upper)
        return self._fine.get(upper, np.zeros(HALF, np.int64))

    def _count(self, wanted: set[int]) -> None:
        place = np.full(HALF, -1)
        place[sorted(wanted)] = np.arange(len(wanted))
        found = np.zeros(len(wanted) * HALF, np.int64)
        for _, logits, strangers in self.stream.strangers():
            keys = _keys(logits[strangers])
            of = place[keys >> HALF_BITS]
            there = of >= 0
            found += np.bincount((of[there] << HALF_BITS) + (keys[there] & (HALF - 1)), minlength=len(found))
        self._fine |= dict(zip(sorted(wanted), found.reshape(len(wanted), HALF), strict=True))


def _keys(logits: Logits) -> NDArray[np.int64]:
    """(P,) logits -> keys in the same order."""
    bits = np.ascontiguousarray(logits).view(np.uint32).astype(np.int64)
    return np.where(bits >> 31, HIGHEST_KEY - bits, bits + (1 << 31))


def _logits(keys: NDArray[np.int64]) -> Logits:
    bits = np.where(keys >> 31, keys - (1 << 31), HIGHEST_KEY - keys)
    return bits.astype(np.uint32).view(np.float32)


def _tables(stream: Stream, cuts: Sequence[int]) -> NDArray[np.float64]:
    """For each cut (M, M), symmetric: the number of pairs of any two people with a key of at least the cut."""
    people, least = len(stream.pictures), _logits(np.array(cuts, np.int64))
    found = np.zeros((len(cuts), people, people))
    for first, logits, strangers in stream.strangers():
        owner = stream.owner[first:]
        for table, each in zip(found, least, strict=True):
            _add(table, owner[: len(logits)], owner, (logits >= each) & strangers)
    return found + found.transpose(0, 2, 1)


def _add(
    table: NDArray[np.float64],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    values: NDArray[np.bool_] | NDArray[np.float32],
) -> None:
    """Adds values (A, B) to the table of groups; the groups of rows (A,) and columns (B,) are in order."""
    of_rows, of_columns = (np.flatnonzero(np.diff(groups, prepend=-1)) for groups in (rows, columns))
    sums = np.add.reduceat(values, of_columns, axis=1, dtype=np.float64)
    table[np.ix_(rows[of_rows], columns[of_columns])] += np.add.reduceat(sums, of_rows, axis=0)


def _with_similar_strangers(
    stream: Stream, points: list[OperatingPoint], cuts: list[int]
) -> tuple[OperatingPoint, ...]:
    """The points with their rates over most similar strangers, as `similar_people` defines them."""
    several = np.flatnonzero(stream.pictures > 1)
    if len(several) < similar_people.MIN_PEOPLE or not points:
        return tuple(points)
    half = similar_people.draw_halves(stream.owner)
    # Groups: the first half of a person's pictures, or the only one, and the second.
    groups = 2 * stream.owner + (half > 0)
    sums = _sums_of_groups(stream, groups, _logits(np.array(cuts, np.int64)))
    sizes = np.bincount(groups, minlength=2 * len(stream.pictures))
    of_halves = (2 * several, 2 * several + 1)
    means = [sums[:, each[:, None], each] / np.outer(sizes[each], sizes[each]) for each in of_halves]
    accepted = [[halves[number] for halves in means] for number in range(1, len(sums))]
    return similar_people.with_rates(
        points, similar_people.rates_of_most_similar([halves[0] for halves in means], accepted)
    )


def _sums_of_groups(stream: Stream, groups: NDArray[np.int64], least: Logits) -> NDArray[np.float64]:
    """(1 + T, G, G), symmetric, over the pairs of any two groups: sums of logits, and counts at each least logit."""
    order, size = np.argsort(groups, kind="stable"), 2 * len(stream.pictures)
    found = np.zeros((1 + len(least), size, size))
    for first, logits, strangers in stream.strangers():
        columns = order[order >= first]
        rows = columns[columns < first + len(logits)]
        places = np.ix_(rows - first, columns - first)
        values, there = logits[places], strangers[places]
        _add(found[0], groups[rows], groups[columns], np.where(there, values, 0))
        for table, each in zip(found[1:], least, strict=True):
            _add(table, groups[rows], groups[columns], (values >= each) & there)
    return found + found.transpose(0, 2, 1)
