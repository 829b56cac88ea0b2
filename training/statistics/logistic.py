"""Logistic regression.

N examples, F features
"""

import numpy as np
from numpy.typing import NDArray

# Half of the squared weights times this is added to the mean loss; features have deviation 1.
PENALTY = 1e-3
STEPS, CONVERGED = 30, 1e-6


def fit_logistic(
    values: NDArray[np.float64], positive: NDArray[np.bool_], share: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Values (N, F), labels (N,) and what each example weighs (N,), 1 together -> slopes (F,) and the intercept.

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
