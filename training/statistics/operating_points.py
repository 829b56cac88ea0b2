"""Thresholds for wanted false match rates, over every impostor pair of the held-out people.

M people, R rounds
"""

from collections.abc import Sequence
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

from model.similarity import FalseMatchCurve, OperatingPoint
from training.statistics.rates import Scores, wilson
from training.statistics.resampling import Owners, draw_people

FalseMatchRates = tuple[tuple[OperatingPoint, ...], FalseMatchCurve | None]

WANTED = {"fmr_1e-1": 0.1, "fmr_1e-2": 0.01, "fmr_1e-3": 0.001}

STEPS_A_DECADE = 8
# What `supported` asks for: this many false matches expected over pairs of people, and an interval up to this many
# times the rate. With 50 of LFW's held-out people the true rate on the others was 0.56 to 1.75 times the wanted one in
# 90% of draws; with 20 people of ORL it was up to 3.4 times as high (docs/thresholds.md).
EXPECTED, WITHIN = 10, 2.0


def false_match_rates(scores: Scores, left: Owners, right: Owners, split: str) -> FalseMatchRates:
    """The operating points, and the rates at all thresholds; see `operating_points` and `false_match_curve`."""
    return operating_points(scores, left, right, split), false_match_curve(scores, left, right, split)


def operating_points(scores: Scores, left: Owners, right: Owners, split: str) -> tuple[OperatingPoint, ...]:
    """Scores float64 (P,) of impostor pairs and the numbers of the people in them, (P,) each, from 0.

    A rate has no point if no threshold up to 1 keeps it, or if it is less than one of the P pairs.
    """
    points = []
    for name, max_fmr in WANTED.items():
        threshold = lowest_threshold(scores, max_fmr)
        if threshold is not None and max_fmr * len(scores) >= 1:
            accepted = scores >= threshold
            points.append(
                OperatingPoint(
                    name=name,
                    max_fmr=max_fmr,
                    threshold=threshold,
                    fmr=float(accepted.mean()),
                    interval=rate_interval(accepted, left, right),
                    split=split,
                    pairs=len(scores),
                    people=len(np.unique(np.concatenate([left, right]))),
                )
            )
    return tuple(points)


def false_match_curve(scores: Scores, left: Owners, right: Owners, split: str) -> FalseMatchCurve | None:
    """The rates at thresholds from the lowest score, which accepts all pairs, to the highest.

    The thresholds are chosen so that the rates' logarithms are evenly spaced. None if all scores are equal.
    """
    if len(np.unique(scores)) < 2:
        return None
    ordered, count = np.sort(scores), len(scores)
    thresholds = np.unique(ordered[count - curve_ranks(count)])
    rates = (count - np.searchsorted(ordered, thresholds)) / count
    return FalseMatchCurve(
        thresholds=tuple(thresholds.tolist()),
        rates=tuple(rates.tolist()),
        split=split,
        pairs=len(scores),
        people=len(np.unique(np.concatenate([left, right]))),
    )


def curve_ranks(pairs: int) -> NDArray[np.int64]:
    """(T,), from 1 to the number of pairs: a curve's thresholds are the scores with these ranks from the top."""
    steps = max(2, round(STEPS_A_DECADE * np.log10(pairs)) + 1)
    return np.geomspace(1, pairs, steps).round().astype(np.int64)


def supported(
    points: Sequence[OperatingPoint], left: Owners, right: Owners
) -> tuple[tuple[OperatingPoint, ...], dict[str, str]]:
    """The points for which people and pairs suffice, and for each other wanted rate, by name, why it has no point.

    `EXPECTED` false matches must be expected if every two people counted once, since the pictures of the same two
    people tell the same again and again, and the rate's interval must stay within `WITHIN` times the wanted rate.
    `left` and `right` (P,) are the numbers of the people in the impostor pairs.
    """
    met = np.unique(np.stack([np.minimum(left, right), np.maximum(left, right)]), axis=1).shape[1]
    people = len(np.unique(np.concatenate([left, right])))
    known = {point.name: point for point in points}
    refused: dict[str, str] = {}
    for name, max_fmr in WANTED.items():
        if met * max_fmr < EXPECTED:
            refused[name] = (
                f"a rate of {max_fmr:g} needs {round(EXPECTED / max_fmr):,} pairs of two people, which "
                f"{people_for(max_fmr)} people give; there are {people} people in {met:,} pairs"
            )
        elif name not in known:
            refused[name] = f"no threshold up to 1 keeps a rate of {max_fmr:g}; too many similarities are equal"
        elif known[name].interval[1] > WITHIN * max_fmr:
            refused[name] = (
                f"a rate of {max_fmr:g} could in truth be {known[name].interval[1]:.2%}, more than {WITHIN:g} times as "
                f"much; add people ({people} now)"
            )
    return tuple(point for point in points if point.name not in refused), refused


def people_for(max_fmr: float) -> int:
    """How many people have enough pairs of two for an operating point of this rate, by `supported`."""
    return ceil((1 + sqrt(1 + 8 * EXPECTED / max_fmr)) / 2)


def measured_again(
    points: Sequence[OperatingPoint], scores: Scores, left: Owners, right: Owners, split: str
) -> tuple[OperatingPoint, ...]:
    """The same thresholds with their rates over other impostor pairs (P,)."""
    found = []
    for point in points:
        accepted = scores >= point.threshold
        changed = {
            "fmr": float(accepted.mean()),
            "interval": rate_interval(accepted, left, right),
            "split": split,
            "pairs": len(scores),
            "people": len(np.unique(np.concatenate([left, right]))),
            "fmr_of_similar": None,
            "interval_of_similar": None,
        }
        found.append(point.model_copy(update=changed))
    return tuple(found)


def lowest_threshold(scores: Scores, max_fmr: float) -> float | None:
    """Impostor scores (P,) -> a threshold that accepts at most that share of them, or None if none up to 1 does.

    With k = floor(max_fmr P) it lies halfway between the (k + 1)th highest score and the next higher one.
    """
    allowed = int(max_fmr * len(scores))
    if allowed >= len(scores):
        return 0.0
    ordered = np.sort(scores)
    refused = ordered[len(scores) - 1 - allowed]
    above = ordered[ordered > refused]
    following = float(above[0]) if len(above) else 1.0
    threshold = (float(refused) + following) / 2
    return threshold if threshold > refused else (following if following > refused else None)


def rate_interval(accepted: NDArray[np.bool_], left: Owners, right: Owners) -> tuple[float, float]:
    """The 95% interval of a rate over pairs of two people, from people drawn with replacement (Efron 1979).

    The weight of a pair is the product of how often its two people were drawn. The interval is narrowed as in
    `resampling.bootstrap_over_people`, but never below Wilson's for independent pairs, as it would be if only a few
    pairs were accepted and some draws had none.
    """
    people = int(max(left.max(), right.max())) + 1
    hits, pairs = _table(left[accepted], right[accepted], people), _table(left, right, people)
    return interval_of_people(hits, pairs, int(accepted.sum()), len(accepted))


def interval_of_people(
    hits: NDArray[np.float64], pairs: NDArray[np.float64], accepted: int, count: int
) -> tuple[float, float]:
    """The interval of `rate_interval`, from the accepted pairs and all pairs of any two people, (M, M), symmetric."""
    rate = accepted / count
    drawn = draw_people(len(pairs)).astype(float)
    weight = ((drawn @ pairs) * drawn).sum(1)
    rates = ((drawn @ hits) * drawn).sum(1)[weight > 0] / weight[weight > 0]
    low, high = rate + _narrowing(hits - rate * pairs) * (np.percentile(rates, [2.5, 97.5]) - rate)
    independent = wilson(accepted, count)
    return min(float(low), independent.low), max(float(high), independent.high)


def _narrowing(excess: NDArray[np.float64]) -> float:
    """The factor, 0 to 1, by which an interval over drawn people must be narrowed.

    `excess` (M, M), symmetric, is the number of accepted pairs of two people minus its expectation. In the variance of
    their sum over drawn people, each pair's square occurs three times; in the variance wanted it occurs once.
    """
    of_people = float((excess.sum(1) ** 2).sum())
    of_pairs = float((excess**2).sum()) / 2
    counted = of_people + of_pairs
    return float(np.sqrt(max(of_people - of_pairs, of_pairs) / counted)) if counted else 1.0


def _table(left: Owners, right: Owners, people: int) -> NDArray[np.float64]:
    """(M, M), symmetric: the number of pairs of any two people."""
    once: NDArray[np.float64] = np.bincount(left * people + right, minlength=people**2).astype(float)
    return once.reshape(people, people) + once.reshape(people, people).T
