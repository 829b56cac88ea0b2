"""Logistic regression against its loss."""

import numpy as np
from numpy.typing import NDArray

from training.statistics import logistic
from training.statistics.logistic import fit_logistic

DRAWS = np.random.default_rng(4)


def loss(
    values: NDArray[np.float64], positive: NDArray[np.bool_], share: NDArray[np.float64], slopes: NDArray[np.float64],
    intercept: float,
) -> float:  # fmt: skip
    """What `fit_logistic` minimises, an example at a time."""
    total = logistic.PENALTY / 2 * float((slopes**2).sum())
    for row, label, weight in zip(values, positive, share, strict=True):
        logit = float(row @ slopes) + intercept
        total += weight * float(np.log1p(np.exp(-logit if label else logit)))
    return total


def test_logistic_regression_is_at_the_minimum() -> None:
    values = DRAWS.standard_normal((60, 3))
    positive = values[:, 0] + DRAWS.standard_normal(60) > 0
    share = DRAWS.uniform(0.5, 1.5, 60)
    share /= share.sum()
    slopes, intercept = fit_logistic(values, positive, share)
    least = loss(values, positive, share, slopes, intercept)
    for step in np.eye(4) * 0.01:
        for sign in (-1, 1):
            assert loss(values, positive, share, slopes + sign * step[:3], intercept + sign * step[3]) > least
