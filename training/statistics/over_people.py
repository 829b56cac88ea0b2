"""Rates over all pairs of people's pictures, with intervals for other people.

G genuine pairs, I impostor pairs, M people
"""

import numpy as np
from numpy.typing import NDArray

from training.statistics.rates import Z_95, Estimate, Scores, wilson
from training.statistics.resampling import Owners, draw_people


def non_match_rate(rejected: NDArray[np.bool_], owner: Owners) -> Estimate:
    """The share of genuine pairs that are rejected, bool (G,), with the numbers of their people int64 (G,).

    The 95% interval is from people drawn with replacement, but never within Wilson's for independent pairs.
    """
    pairs, wrong = np.bincount(owner), np.bincount(owner, weights=rejected)
    drawn = draw_people(len(pairs))
    drawn = drawn[drawn @ pairs > 0]
    low, high = np.percentile((drawn @ wrong) / (drawn @ pairs), [2.5, 97.5])
    independent = wilson(int(rejected.sum()), len(rejected))
    return Estimate(
        value=independent.value, low=min(float(low), independent.low), high=max(float(high), independent.high)
    )


def area_under_roc(genuine: Scores, owner: Owners, impostor: Scores, left: Owners, right: Owners) -> Estimate:
    """The area over all genuine scores (G,) of people `owner` and impostor scores (I,) of people `left` and `right`.

    The 95% interval is normal, with the deviation of the areas without one person each (jackknife, Efron 1982).
    It is from 0 to 1 if fewer than two people can be left out.
    """
    people = int(max(owner.max(), left.max(), right.max())) + 1
    lost = np.bincount(owner, _below(impostor, genuine), people) + sum(
        np.bincount(side, len(genuine) - _below(genuine, impostor), people) for side in (left, right)
    )
    whole, areas = float(_below(impostor, genuine).sum()), []
    for person in range(people):
        own, touched = owner == person, (left == person) | (right == person)
        pairs = int((~own).sum()) * int((~touched).sum())
        if pairs:
            twice = _below(impostor[touched], genuine[own]).sum()
            areas.append((whole - lost[person] + twice) / pairs)
    area = whole / (len(genuine) * len(impostor))
    if len(areas) < 2:
        return Estimate(value=area, low=0.0, high=1.0)
    half = Z_95 * np.sqrt((len(areas) - 1) * np.var(areas))
    return Estimate(value=area, low=float(max(area - half, 0.0)), high=float(min(area + half, 1.0)))


def _below(others: Scores, scores: Scores) -> NDArray[np.float64]:
    """For each of the scores, how many of the others are lower; ties count half."""
    ordered = np.sort(others)
    found: NDArray[np.float64] = (np.searchsorted(ordered, scores) + np.searchsorted(ordered, scores, "right")) / 2
    return found
