"""One embedding for several photographs of a person.

N embeddings, D embedding
"""

import numpy as np

from model.arrays import Embeddings
from model.errors import InferenceError

# A mean that is shorter has no direction of its own: the embeddings cancel each other out.
MIN_LENGTH = 1e-3


def mean_embedding(embeddings: Embeddings, *, unit_length: bool) -> Embeddings:
    """float32 (N, D), N at least 1 -> float32 (D,): their mean, scaled to length 1 if `unit_length`.

    `unit_length` says whether the network's embeddings have length 1. A single embedding is returned as it is. The
    arithmetic is in double precision. Raises InferenceError if embeddings of length 1 cancel each other out.
    """
    if len(embeddings) == 1:
        only: Embeddings = embeddings[0]
        return only
    mean = embeddings.mean(axis=0, dtype=np.float64)
    if unit_length:
        length = np.linalg.norm(mean)
        if length < MIN_LENGTH:
            raise InferenceError("the embeddings of one side cancel each other out; they cannot be of one person")
        mean /= length
    return np.asarray(mean, np.float32)
