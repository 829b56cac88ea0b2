"""The false match rate over each person's most similar strangers, which the rate over all strangers hides.

N pictures, M people with several pictures, K most similar people
"""

from collections.abc import Iterable, Sequence

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
    halves = _halves(owner)
    if len(halves[0]) < MIN_PEOPLE:
        return None
    accepted = (similarity(logits.astype(np.float64)) >= threshold for threshold in thresholds)
    over_people = ([_over(half, each) for half in halves] for each in accepted)
    return rates_of_most_similar([_over(half, logits) for half in halves], over_people)


def rates_of_most_similar(logits: Sequence[Table], accepted: Iterable[Sequence[Table]]) -> list[Estimate]:
    """The FMR over pairs of a person and the most similar ones, for each threshold, with 95% intervals.

    For the first and the second half of the pictures of M people, `logits` has the mean logits of any two people, and
    `accepted`, for each threshold, the shares of accepted pairs, (M, M) each.
    """
    chosen = [_most_similar(table) for table in logits]
    found = []
    for first, second in accepted:
        of_people = np.mean(
            [
                np.take_along_axis(measured, most, axis=1).mean(1)
                for measured, most in zip((second, first), chosen, strict=True)
            ],
            axis=0,
        )
        low, high = np.percentile(draw_people(len(of_people)) @ of_people / len(of_people), [2.5, 97.5])
        found.append(Estimate(value=float(of_people.mean()), low=float(low), high=float(high)))
    return found


def with_similar_strangers(
    points: Sequence[OperatingPoint], logits: NDArray[np.float32], owner: Owners
) -> tuple[OperatingPoint, ...]:
    """The operating points with their rates over most similar strangers, if enough people have several pictures."""
    found = similar_strangers(logits, owner, [point.threshold for point in points])
    return tuple(points) if found is None else with_rates(points, found)


def with_rates(points: Sequence[OperatingPoint], found: Sequence[Estimate]) -> tuple[OperatingPoint, ...]:
    """The operating points with their rates over most similar strangers."""
    return tuple(
        point.model_copy(update={"fmr_of_similar": each.value, "interval_of_similar": (each.low, each.high)})
        for point, each in zip(points, found, strict=True)
    )


def draw_halves(owner: Owners) -> NDArray[np.int64]:
    """(N,): the half of the person's pictures that each picture belongs to, 0 or 1; -1 for a person's only one."""
    draws, counts = np.random.default_rng(SEED), np.bincount(owner)
    places = np.split(np.argsort(owner, kind="stable"), np.cumsum(counts)[:-1])
    found = np.full(len(owner), -1)
    for person in np.flatnonzero(counts > 1):
        for half, part in enumerate(np.array_split(draws.permutation(places[person]), 2)):
            found[part] = half
    return found


def _halves(owner: Owners) -> tuple[Table, Table]:
    """(M, N) twice: the weight of each picture in the mean over a half of a person's pictures."""
    several = np.flatnonzero(np.bincount(owner) > 1)
    own = owner == several[:, None]
    first, second = (own & (draw_halves(owner) == half) for half in range(2))
    return first / first.sum(1, keepdims=True), second / second.sum(1, keepdims=True)


def _over(half: Table, values: NDArray[np.float32] | NDArray[np.bool_]) -> Table:
    """The mean of values (N, N) over the pairs of any two people, (M, M)."""
    return half @ values @ half.T


def _most_similar(table: Table) -> NDArray[np.int64]:
    """Mean logits (M, M) -> (M, K): for each person, the other people with the highest ones."""
    table = table.copy()
    np.fill_diagonal(table, -np.inf)
    count = max(1, round(SHARE * (len(table) - 1)))
    return np.argsort(-table, axis=1)[:, :count]
