"""Vectors for databases that search by inner product: the inner product of a query's and a stored one is the logit.

Of the head "fused" it is an upper bound of the logit: a search for all above a threshold finds everyone whom /compare
would call the same, and others.

B batch, D embedding, K dimensions that the head uses
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Self

import numpy as np

from model.arrays import Array, Embeddings
from model.checkpoint import Checkpoint
from model.errors import CheckpointError
from model.networks.configurations import OnnxConfig
from model.similarity import Calibration

# Shorter embeddings count as this long.
MIN_LENGTH = 1e-12
MSG_DISTANCE = "this network compares weighted distances, which no inner product gives; search with /compare"


@dataclass(frozen=True, kw_only=True)
class SearchVectors:
    """Makes both kinds of vectors, (B, K + 2), from embeddings as /embed gives them.

    With u = (x - mean) P of the query and v of the stored embedding, the head's logit is
    scale * sum(own * (u^2 + v^2) + cross * u * v) + bias. It is the inner product of the query's
    (scale * cross * u, scale * sum(own * u^2) + bias, scale) and the stored (v, 1, sum(own * v^2)). A calibration's
    scale and bias are in the query's alone, so that stored vectors outlive it; its mean is in both. With `unit`,
    embeddings get length 1 before: those of networks from elsewhere, which compare by the cosine, may have any.
    The head "fused" takes the soft minimum of K sums of this kind. It is at most their mean less log K (Jensen's
    inequality), which is also of this kind and is what is searched by.
    """

    calibration: Calibration
    mean: Array
    projection: Array
    own: Array
    cross: Array
    scale: float
    bias: float
    unit: bool = False

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Self:
        """Those of a checkpoint's head and calibration. Raises CheckpointError if it compares distances."""
        tensors, calibration = checkpoint.tensors, checkpoint.header.calibration
        if from_elsewhere := isinstance(checkpoint.header.network, OnnxConfig):
            tensors = {"head.scale": np.ones(1), "head.bias": np.zeros(1)}
        if "head.scale" not in tensors:
            raise CheckpointError(MSG_DISTANCE)
        dimension = checkpoint.header.network.dimension
        head: dict[str, Array] = {
            "mean": np.zeros(dimension),
            "projection": np.eye(dimension),
            "own": np.zeros(dimension),
            "cross": np.ones(dimension),
        }
        head |= {name.removeprefix("head."): value.astype(np.float64) for name, value in tensors.items()}
        if "weights" in head:
            head |= _mean_of_sums(head, checkpoint.header.network.unit_parts)
        used = (head["own"] != 0) | (head["cross"] != 0)
        return cls(
            calibration=calibration,
            mean=head["mean"],
            projection=head["projection"][:, used],
            own=head["own"][used],
            cross=head["cross"][used],
            scale=calibration.scale * float(head["scale"][0]),
            bias=calibration.scale * float(head["bias"][0]) + calibration.bias,
            unit=from_elsewhere,
        )

    def queries(self, embeddings: Embeddings) -> Embeddings:
        """float32 (B, D) -> float32 (B, K + 2), to search with."""
        u = self._project(embeddings)
        alone = self.scale * (u * u) @ self.own + self.bias
        return self._join(self.scale * self.cross * u, alone, np.full(len(u), self.scale))

    def stored(self, embeddings: Embeddings) -> Embeddings:
        """float32 (B, D) -> float32 (B, K + 2), to be searched."""
        v = self._project(embeddings)
        return self._join(v, np.ones(len(v)), (v * v) @ self.own)

    def _project(self, embeddings: Embeddings) -> Array:
        """float32 (B, D) -> float64 (B, K)."""
        centred = self.calibration.centre(embeddings).astype(np.float64)
        if self.unit:
            centred /= np.linalg.norm(centred, axis=1, keepdims=True).clip(MIN_LENGTH)
        return (centred - self.mean) @ self.projection

    def _join(self, vectors: Array, first: Array, second: Array) -> Embeddings:
        return np.column_stack([vectors, first, second]).astype(np.float32)


def _mean_of_sums(head: Mapping[str, Array], unit_parts: Sequence[int]) -> dict[str, Array]:
    """What a Joint Bayesian head has that computes the mean of the sums of a fused one less the log of their number."""
    others = sum(unit_parts[1:])
    towers, *weights = head["weights"].mean(axis=0)
    bias = head["biases"].mean() - log(len(head["biases"]))
    projection = np.eye(sum(unit_parts))
    projection[: unit_parts[0], : unit_parts[0]] = head["projection"]
    return {
        "mean": np.pad(head["mean"], (0, others)),
        "projection": projection,
        "own": np.pad(towers * head["own"], (0, others)),
        "cross": np.concatenate([towers * head["cross"], len(unit_parts) * np.repeat(weights, unit_parts[1:])]),
        "bias": head["scale"] * bias + head["bias"],
    }


def logit_of(similarity: float) -> float:
    """The inner product at which two vectors have this similarity, between 0 and 1."""
    return log(similarity) - log(1 - similarity)
