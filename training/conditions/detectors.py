"""Fits what finds a picture's condition: a logistic regression on the features of its crop.

N pictures, F features
"""

import numpy as np
from numpy.typing import NDArray

from model.arrays import Features
from model.imaging.conditions import ConditionDetector, ConditionDetectors
from training.conditions.examples import Examples

# The largest share of unchanged pictures of held-out people that a detector may find a condition in.
FLAGGED = 0.03
# Where a limit that misses only this share of the examples is higher, the limit is halfway to it.
MISSED = 0.02
# What pictures in other conditions weigh together; those in the condition weigh 1, and so do the unchanged ones.
OTHERS = 1.0
# The squared weights times this are added to the mean loss; features have deviation 1.
PENALTY = 1e-3
STEPS, CONVERGED = 30, 1e-6
# Weights are stored to so many significant digits.
DIGITS = 5


def fit_detectors(examples: Examples, clean: Features) -> ConditionDetectors:
    """A detector for each condition of the examples; `clean` (N, F) are held-out people's unchanged pictures."""
    names = sorted(set(examples.conditions.tolist()) - {""})
    return ConditionDetectors(detectors=tuple(_fit(name, examples, clean) for name in names))


def _fit(name: str, examples: Examples, clean: Features) -> ConditionDetector:
    values = examples.features.astype(np.float64)
    mean, deviation = values.mean(axis=0), values.std(axis=0) + 1e-6
    kinds = [examples.conditions == name, examples.conditions == ""]
    kinds.append(~kinds[0] & ~kinds[1])
    share = np.zeros(len(values))
    for kind, weight in zip(kinds, (1.0, 1.0, OTHERS), strict=True):
        share[kind] = weight / max(1, int(kind.sum()))
    slopes, _ = fit_logistic((values - mean) / deviation, kinds[0], share / share.sum())
    weights = _rounded(slopes / deviation)
    scores = np.sort(clean @ weights)
    flagged = int(FLAGGED * len(scores))
    highest = scores[-1] + 1 if flagged == 0 else scores[-flagged]
    lowest = float(scores[-flagged - 1] + highest) / 2  # between two pictures, so that rounding flags no other
    limit = max(lowest, (lowest + float(np.quantile(values[kinds[0]] @ weights, MISSED))) / 2)
    return ConditionDetector(
        condition=name, weights=tuple(weights.tolist()), bias=-limit, flagged=float((scores > limit).mean())
    )


def fit_logistic(
    values: NDArray[np.float64], positive: NDArray[np.bool_], share: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Values (N, F), labels (N,) and what each picture weighs (N,), 1 together -> slopes (F,) and the intercept.

    Newton's method on the mean logistic loss with a penalty on the slopes; the intercept has none.
    """
    rows = np.column_stack([values, np.ones(len(values))])
    penalty = np.append(np.full(values.shape[1], PENALTY), 1e-9)
    found = np.zeros(rows.shape[1])
    for _ in range(STEPS):
        probability = 1 / (1 + np.exp(-np.clip(rows @ found, -30, 30)))
        gradient = rows.T @ (share * (probability - positive)) + penalty * found
        curvature = share * np.maximum(probability * (1 - probability), 1e-6)
        step = np.linalg.solve((rows * curvature[:, None]).T @ rows + np.diag(penalty), gradient)
        found = found - step
        if np.abs(step).max() < CONVERGED:
            break
    return found[:-1], float(found[-1])


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([float(f"{value:.{DIGITS}g}") for value in values])
