"""Similarity transforms of points: scale, rotation and shift.

Points are (x, y); the centre of the first pixel is at 0.5.
"""

from typing import NamedTuple

import numpy as np

from model.arrays import Points


class SimilarityTransform(NamedTuple):
    """p -> matrix p + shift, where matrix, float64 (2, 2), is scale times rotation, and shift is (2,)."""

    matrix: Points
    shift: Points

    @property
    def scale(self) -> float:
        return float(np.sqrt(np.linalg.det(self.matrix)))

    def __call__(self, points: Points) -> Points:
        """float64 (N, 2) -> float64 (N, 2)."""
        return points @ self.matrix.T + self.shift

    def inverse(self) -> "SimilarityTransform":
        matrix: Points = np.linalg.inv(self.matrix).astype(np.float64)
        return SimilarityTransform(matrix, -matrix @ self.shift)


def fit_similarity(source: Points, target: Points) -> SimilarityTransform:
    """The least-squares similarity transform from source (N, 2) to target (N, 2), without reflection.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns" (1991).
    """
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    centred, wanted = source - source_mean, target - target_mean
    left, singular, right = np.linalg.svd(wanted.T @ centred / len(source))
    sign = np.array([1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])  # -1 turns a reflection into a rotation
    scale = float((singular * sign).sum() / (centred**2).sum(axis=1).mean())
    matrix: Points = scale * (left * sign) @ right
    shift: Points = target_mean - matrix @ source_mean
    return SimilarityTransform(matrix, shift)
