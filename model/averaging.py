"""One embedding for several photographs of a person.

N embeddings, D embedding
"""

from collections.abc import Sequence
from math import sqrt

import numpy as np

from model.arrays import Embeddings
from model.errors import InferenceError

# A mean that is shorter has no direction of its own: the embeddings cancel each other out.
MIN_LENGTH = 1e-3


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
    for part in np.split(mean, np.cumsum(unit_parts)[:-1]) if unit_parts else ():
        length = np.linalg.norm(part) * sqrt(len(unit_parts))
        if length < MIN_LENGTH:
            raise InferenceError("the embeddings of one side cancel each other out; they cannot be of one person")
        part /= length
    return np.asarray(mean, np.float32)
