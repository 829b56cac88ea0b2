"""One embedding for several photographs of a person.

N embeddings, D embedding
"""

from collections.abc import Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from model.arrays import Embeddings
from model.errors import InferenceError

# A mean that is shorter has no direction of its own: the embeddings cancel each other out.
MIN_LENGTH = 1e-3
# Keeps what has no length from becoming infinite.
TINY = 1e-12


def mean_embedding(embeddings: Embeddings, unit_parts: Sequence[int]) -> Embeddings:
    """float32 (N, D), N at least 1 -> float32 (D,): their mean.

    `unit_parts` are those of the network's configuration: how many values each part of an embedding has, of parts that
    have the same length and together length 1. So has each part of the mean. A single embedding is returned as it is.
    The arithmetic is in double precision. Raises InferenceError if parts with a length cancel each other out.
    """
    if len(embeddings) == 1:
        only: Embeddings = embeddings[0]
        return only
    mean = embeddings.mean(axis=0, dtype=np.float64)
    if any((lengths < MIN_LENGTH).any() for lengths in scale_parts(mean[None], unit_parts)):
        raise InferenceError("the embeddings of one side cancel each other out; they cannot be of one person")
    return np.asarray(mean, np.float32)


def scale_parts(rows: NDArray[np.float64], unit_parts: Sequence[int]) -> list[NDArray[np.float64]]:
    """(N, D) -> for each part the lengths (N, 1) that it had, as shares of the length that it has then.

    Scales every row's parts in place, so that they have the same length and together length 1.
    """
    parts = np.split(rows, np.cumsum(unit_parts)[:-1], axis=1) if unit_parts else []
    found = [np.linalg.norm(part, axis=1, keepdims=True) * sqrt(len(parts)) for part in parts]
    for part, lengths in zip(parts, found, strict=True):
        part /= lengths.clip(TINY)
    return found
