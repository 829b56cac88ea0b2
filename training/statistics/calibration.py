"""Converts scores to probabilities, and measures how well these are calibrated."""

import numpy as np

from training.statistics import rates

NEWTON_STEPS = 100
BINS = 15


def platt(scores: rates.Scores, same: rates.Labels) -> tuple[float, float]:
    """(P,) scores -> (scale, bias) of the most likely sigmoid(scale * score + bias): Platt 1999, with softened labels.

    Genuine and impostor pairs have half of the weight each, so the result is the probability of "same person" with
    equal priors. For the same reason the labels of both kinds are softened equally, by what the kind with fewer pairs
    needs. Solved by Newton's method on standardised scores.
    """
    mean, deviation = scores.mean(), max(float(scores.std()), 1e-12)
    columns = np.stack([(scores - mean) / deviation, np.ones_like(scores)], axis=1)
    genuine, impostor = same.sum(), (~same).sum()
    soft = 1 / (min(genuine, impostor) + 2)
    targets = np.where(same, 1 - soft, soft)
    counts = len(scores) / 2 / np.where(same, genuine, impostor)
    weights = np.zeros(2)
    for _ in range(NEWTON_STEPS):
        likely = 1 / (1 + np.exp(-columns @ weights))
        curvature = columns.T @ (columns * (counts * likely * (1 - likely))[:, None]) + 1e-9 * np.eye(2)
        change = np.linalg.solve(curvature, columns.T @ (counts * (targets - likely)))
        weights = weights + change
        if np.abs(change).max() < 1e-10:
            break
    scale = float(weights[0] / deviation)
    return scale, float(weights[1] - scale * mean)


def calibration_error(scores: rates.Scores, same: rates.Labels) -> float:
    """The expected calibration error (Naeini et al. 2015) over bins of equally many pairs.

    The distance between a bin's mean similarity and its share of genuine pairs, weighted by the bin's size.
    """
    order = np.argsort(scores, kind="stable")
    bins = np.array_split(order, min(BINS, len(scores)))
    return float(sum(len(b) * abs(scores[b].mean() - same[b].mean()) for b in bins) / len(scores))
