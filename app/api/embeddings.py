"""Embeddings as they travel in JSON: numbers, or float32 little-endian in base64.

D embedding
"""

import base64
import binascii

import numpy as np

from app.api.problems import Problem
from model.arrays import Embeddings
from model.networks.configurations import AnyNetworkConfig, ResidualConfig

LITTLE_ENDIAN = np.dtype("<f4")
# Far above what a network gives, and far enough below float32's end that differences and their sums cannot overflow.
LARGEST = 1e30
# Of embeddings of unit length; those that were stored in half precision are within it.
LENGTH_TOLERANCE = 0.01


def encode_base64(embedding: Embeddings) -> str:
    """float32 (D,) -> base64 of its little-endian bytes."""
    return base64.b64encode(embedding.astype(LITTLE_ENDIAN).tobytes()).decode("ascii")


def decode_embedding(value: list[float] | str, network: AnyNetworkConfig, field: str) -> Embeddings:
    """Either form, which came as `field` -> float32 (D,) as that network gives them. Raises Problem."""
    try:
        raw = np.frombuffer(base64.b64decode(value, validate=True), LITTLE_ENDIAN) if isinstance(value, str) else value
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused below
            embedding: Embeddings = np.array(raw, dtype=np.float32)
    except (binascii.Error, ValueError, OverflowError) as error:
        raise _malformed("is a list of numbers, or base64 of float32 values", field) from error
    if embedding.shape != (network.dimension,):
        raise _malformed(f"of this model has {network.dimension} values", field)
    if not (np.abs(embedding) <= LARGEST).all():
        raise _malformed(f"has only finite values, none beyond {LARGEST:g}", field)
    if isinstance(network, ResidualConfig) and abs(np.linalg.norm(embedding.astype(np.float64)) - 1) > LENGTH_TOLERANCE:
        raise _malformed("of this model has length 1; send it as /embed gave it", field)
    return embedding


def _malformed(what: str, field: str) -> Problem:
    return Problem("malformed_embedding", f"an embedding {what}", field)
