"""Similarity transforms of points: scale, rotation and shift.

Points are (x, y); the centre of the first pixel is at 0.5. As a complex number a point p becomes f p + s: the absolute
value of the factor f is the scale, its angle the rotation, and s the shift.
"""

import math
from typing import NamedTuple, Self

import numpy as np

from model.arrays import Points


class SimilarityTransform(NamedTuple):
    """p -> matrix p + shift, where matrix, float64 (2, 2), is scale times rotation, and shift is (2,)."""

    matrix: Points
    shift: Points

    @classmethod
    def from_complex(cls, factor: complex, shift: complex) -> Self:
        """p -> factor p + shift, for points as complex numbers."""
        matrix = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
        return cls(matrix, np.array([shift.real, shift.imag]))

    @property
    def scale(self) -> float:
        return math.hypot(*self.matrix[0].tolist())

    def __call__(self, points: Points) -> Points:
        """float64 (N, 2) -> float64 (N, 2)."""
        return points @ self.matrix.T + self.shift

    def inverse(self) -> "SimilarityTransform":
        factor, shift = complex(*self.matrix[:, 0].tolist()), complex(*self.shift.tolist())
        return SimilarityTransform.from_complex(1 / factor, -shift / factor)


def fit_similarity(source: Points, target: Points) -> SimilarityTransform:
    """The least-squares similarity transform from source (N, 2) to target (N, 2), without reflection, for a small N.

    It is a linear regression of complex numbers (Umeyama, "Least-squares estimation of transformation parameters
    between two point patterns" (1991), has the form for any dimension).
    """
    # NumPy's calls would take most of the time for so few points.
    given, wanted = ([complex(x, y) for x, y in points.tolist()] for points in (source, target))
    given_mean, wanted_mean = sum(given) / len(given), sum(wanted) / len(wanted)
    centred = [point - given_mean for point in given]
    square = sum(point.real**2 + point.imag**2 for point in centred)
    product = sum((point - wanted_mean) * own.conjugate() for point, own in zip(wanted, centred, strict=True))
    factor = product / square
    return SimilarityTransform.from_complex(factor, wanted_mean - factor * given_mean)
