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
        matrix: Points = self.matrix.T / (self.matrix[0] @ self.matrix[0])
        return SimilarityTransform(matrix, -matrix @ self.shift)


def fit_similarity(source: Points, target: Points) -> SimilarityTransform:
    """The least-squares similarity transform from source (N, 2) to target (N, 2), without reflection.

    With points as complex numbers it is p -> m p + s, so it is a linear regression (Umeyama, "Least-squares estimation
    of transformation parameters between two point patterns" (1991), has the form for any dimension).
    """
    count = len(source)
    source_mean, target_mean = source.sum(axis=0) / count, target.sum(axis=0) / count
    centred, wanted = source - source_mean, target - target_mean
    (xx, xy), (yx, yy) = (centred.T @ wanted / (centred * centred).sum()).tolist()
    along, across = xx + yy, xy - yx
    matrix = np.array([[along, -across], [across, along]])
    shift: Points = target_mean - matrix @ source_mean
    return SimilarityTransform(matrix, shift)
