"""The false match rate over each person's most similar strangers, which the rate over all strangers hides.

N pictures, M people with several pictures, K most similar people
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.similarity import OperatingPoint, similarity
from training.statistics.rates import Estimate
from training.statistics.resampling import Owners, draw_people

# One in twenty of the other people, at least one, is most similar. Fewer people than MIN_PEOPLE have no such twentieth.
SHARE = 0.05
MIN_PEOPLE = 10
SEED = 0

Table = NDArray[np.float64]


def similar_strangers(logits: NDArray[np.float32], owner: Owners, thresholds: Sequence[float]) -> list[Estimate] | None:
    """The FMR over pairs of a person and the most similar other people, at each threshold, with 95% intervals.

    `logits` (N, N) are of all pairs of pictures of the people int64 (N,). Every person's pictures are divided at random
    into halves: one half finds the most similar `SHARE` of the other people, by the highest mean logit, and the rate is
    measured on the other half; then the halves change places. So no pair is chosen by its own score. Every person has
    the same weight. Intervals are a bootstrap's over people. None if fewer than `MIN_PEOPLE` have several pictures.
    """
    first, second = _halves(owner)
    if len(first) < MIN_PEOPLE:
        return None
    chosen = [_most_similar(half, logits) for half in (first, second)]
    found = []
    for threshold in thresholds:
        accepted = similarity(logits.astype(np.float64)) >= threshold
        measured = [_over(half, accepted) for half in (second, first)]
        of_people = np.mean(
            [np.take_along_axis(*each, axis=1).mean(1) for each in zip(measured, chosen, strict=True)], axis=0
        )
        low, high = np.percentile(draw_people(len(of_people)) @ of_people / len(of_people), [2.5, 97.5])
        found.append(Estimate(value=float(of_people.mean()), low=float(low), high=float(high)))
    return found


def with_similar_strangers(
    points: Sequence[OperatingPoint], logits: NDArray[np.float32], owner: Owners
) -> tuple[OperatingPoint, ...]:
    """The operating points with their rates over most similar strangers, if enough people have several pictures."""
    found = similar_strangers(logits, owner, [point.threshold for point in points])
    if found is None:
        return tuple(points)
    return tuple(
        point.model_copy(update={"fmr_of_similar": each.value, "interval_of_similar": (each.low, each.high)})
        for point, each in zip(points, found, strict=True)
    )


def _halves(owner: Owners) -> tuple[Table, Table]:
    """(M, N) twice: the weight of each picture in the mean over a half of a person's pictures."""
    draws, counts = np.random.default_rng(SEED), np.bincount(owner)
    several = np.flatnonzero(counts > 1)
    halves = np.zeros((2, len(several), len(owner)))
    for row, person in enumerate(several):
        pictures = draws.permutation(np.flatnonzero(owner == person))
        for half, part in zip(halves, np.array_split(pictures, 2), strict=True):
            half[row, part] = 1 / len(part)
    return halves[0], halves[1]


def _over(half: Table, values: NDArray[np.float32] | NDArray[np.bool_]) -> Table:
    """The mean of values (N, N) over the pairs of any two people, (M, M)."""
    return half @ values @ half.T


def _most_similar(half: Table, logits: NDArray[np.float32]) -> NDArray[np.int64]:
    """(M, K): for each person, the other people with the highest mean logit."""
    table = _over(half, logits)
    np.fill_diagonal(table, -np.inf)
    count = max(1, round(SHARE * (len(table) - 1)))
    return np.argsort(-table, axis=1)[:, :count]
