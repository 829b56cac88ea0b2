"""Comparisons of embeddings with NumPy: the logit of "same person" as the networks' heads compute it.

All arithmetic is in double precision, and symmetric to the last bit.

B batch, D embedding
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from model.arrays import Array, Embeddings, Tensors

# float32 (B, D) twice -> float64 (B,)
Comparison: TypeAlias = Callable[[Embeddings, Embeddings], NDArray[np.float64]]


def comparison_of(tensors: Tensors, unit_parts: Sequence[int]) -> Comparison:
    """The function from two batches of embeddings to logits that a checkpoint's tensors describe.

    `unit_parts` are those of the network's configuration.
    """
    if "comparison.weight" in tensors:
        return _weighted_distance(_double(tensors["comparison.weight"][0]), _double(tensors["comparison.bias"]))
    scale, bias = _double(tensors["head.scale"]), _double(tensors["head.bias"])
    score = _score_of(tensors, unit_parts)
    return lambda left, right: scale * score(_double(left), _double(right)) + bias


def _score_of(tensors: Tensors, unit_parts: Sequence[int]) -> Callable[[Array, Array], Array]:
    if "head.weights" in tensors:
        return _fused(tensors, unit_parts)
    return _joint_bayesian(tensors) if "head.projection" in tensors else _cosine


def _weighted_distance(weight: Array, bias: Array) -> Comparison:
    return lambda left, right: (np.abs(_double(left) - _double(right)) * weight).sum(1) + bias


def _cosine(left: Array, right: Array) -> Array:
    return np.asarray((left * right).sum(1))


def _joint_bayesian(tensors: Tensors) -> Callable[[Array, Array], Array]:
    """The score of `networks.heads.JointBayesianHead`, without what has no weight or is multiplied by 0."""
    mean, own, cross = (_double(tensors[f"head.{name}"]) for name in ("mean", "own", "cross"))
    projection = _double(tensors["head.projection"])
    used = (own != 0) | (cross != 0)
    kept = used & (projection == np.eye(len(mean))).all(axis=0)  # as those of a thumbnail: they stay as they are
    turned = used & ~kept
    entering = (projection[:, turned] != 0).any(axis=1)
    transposed = np.ascontiguousarray(projection[np.ix_(entering, turned)].T)
    own, cross = (np.concatenate([each[turned], each[kept]]) for each in (own, cross))

    def project(rows: Array) -> Array:
        # Products of two vectors each: a BLAS has no threads for these, which would wait for work on the cores that
        # the network and the decoders need.
        centred = rows - mean
        return np.concatenate([np.vecdot(centred[:, None, entering], transposed), centred[:, kept]], axis=1)

    def score(left: Array, right: Array) -> Array:
        u, v = project(left), project(right)
        return np.asarray((own * (u * u + v * v) + cross * (u * v)).sum(1))

    return score


def _fused(tensors: Tensors, unit_parts: Sequence[int]) -> Callable[[Array, Array], Array]:
    """The score of `networks.heads.FusedHead`."""
    towers, ends = _joint_bayesian(tensors), np.cumsum(unit_parts)[:-1]
    weights, biases = _double(tensors["head.weights"]), _double(tensors["head.biases"])

    def score(left: Array, right: Array) -> Array:
        parts = list(zip(np.split(left, ends, axis=1), np.split(right, ends, axis=1), strict=True))
        scores = [towers(*parts[0]), *(len(parts) * np.vecdot(u, v) for u, v in parts[1:])]
        sums = np.vecdot(np.stack(scores, axis=1)[:, None], weights) + biases
        return np.asarray(-np.logaddexp.reduce(-sums, axis=1))

    return score


def _double(values: Array) -> Array:
    return values.astype(np.float64)
