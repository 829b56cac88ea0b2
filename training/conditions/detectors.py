"""Fits what finds a picture's condition: a logistic regression on the features of its crop.

N pictures, F features
"""

from collections.abc import Collection
from math import inf

import numpy as np
from numpy.typing import NDArray

from model.arrays import Features
from model.conditions import NOT_PHOTOGRAPH
from model.imaging.conditions import ConditionDetector, ConditionDetectors
from training.conditions.examples import Examples
from training.statistics.logistic import fit_logistic

# The largest share of unchanged pictures of held-out people that a detector may find a condition in.
FLAGGED = 0.03
# Where a limit that misses only this share of the examples is higher, the limit is halfway to it.
MISSED = 0.02
# There are no drawings of people from which a rate could be measured: a redrawn photograph still is like itself. So one
# such picture leaves a pair undecided, and few others may be taken for one: these shares of the unchanged pictures, and
# of those in each other condition of people who are left out of the fit.
NOT_MEASURED = {NOT_PHOTOGRAPH}
FLAGGED_NOT_MEASURED, FLAGGED_OTHERS = 0.002, 0.04
# What pictures in other conditions weigh together; those in the condition weigh 1, and so do the unchanged ones. They
# weigh more where they may hardly be mistaken.
OTHERS, OTHERS_NOT_MEASURED = 1.0, 3.0
# The significant digits of stored weights.
DIGITS = 5


def fit_detectors(examples: Examples, clean: Features, only: Collection[str] | None = None) -> ConditionDetectors:
    """A detector for each condition of the examples, or for those in `only`.

    `clean` (N, F) are held-out people's unchanged pictures.
    """
    names = sorted(set(examples.conditions.tolist()) - {""} if only is None else only)
    return ConditionDetectors(detectors=tuple(_fit(name, examples, clean) for name in names))


def replaced(old: ConditionDetectors, new: ConditionDetectors) -> ConditionDetectors:
    """The old detectors with those of the same names replaced; others find what they found."""
    fitted, features = {each.condition: each for each in new.detectors}, len(new.detectors[0].weights)
    kept = [
        each.model_copy(update={"weights": each.weights + (0.0,) * (features - len(each.weights))})
        for each in old.detectors
    ]
    return ConditionDetectors(detectors=tuple(fitted.get(each.condition, each) for each in kept))


def _fit(name: str, examples: Examples, clean: Features) -> ConditionDetector:
    limiting = examples.of(examples.left_out)
    if name in NOT_MEASURED:
        examples = examples.of(~examples.left_out)
    values = examples.features.astype(np.float64)
    mean, deviation = values.mean(axis=0), values.std(axis=0) + 1e-6
    kinds = [examples.conditions == name, examples.conditions == ""]
    kinds.append(~kinds[0] & ~kinds[1])
    share = np.zeros(len(values))
    others = OTHERS_NOT_MEASURED if name in NOT_MEASURED else OTHERS
    for kind, weight in zip(kinds, (1.0, 1.0, others), strict=True):
        share[kind] = weight / max(1, int(kind.sum()))
    slopes, _ = fit_logistic((values - mean) / deviation, kinds[0], share / share.sum())
    weights = _rounded(slopes / deviation)
    scores = clean @ weights
    if name in NOT_MEASURED:
        limit = max(_least_limit(scores, FLAGGED_NOT_MEASURED), _limit_of_others(name, limiting, weights))
    else:
        lowest = _least_limit(scores, FLAGGED)
        limit = max(lowest, (lowest + float(np.quantile(values[kinds[0]] @ weights, MISSED))) / 2)
    return ConditionDetector(
        condition=name, weights=tuple(weights.tolist()), bias=-limit, flagged=float((scores > limit).mean())
    )


def _limit_of_others(name: str, examples: Examples, weights: NDArray[np.float64]) -> float:
    """The highest of the limits that few pictures in each other condition exceed."""
    others = set(examples.conditions.tolist()) - {"", name}
    parts = (examples.features[examples.conditions == other] for other in others)
    return max((_least_limit(each @ weights, FLAGGED_OTHERS) for each in parts), default=-inf)


def _least_limit(scores: NDArray[np.float64], share: float) -> float:
    """The limit above which at most that share of the scores lies: between two of them, so that rounding adds none."""
    ordered, above = np.sort(scores), int(share * len(scores))
    highest = ordered[-1] + 1 if above == 0 else ordered[-above]
    return float(ordered[-above - 1] + highest) / 2


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([float(f"{value:.{DIGITS}g}") for value in values])
