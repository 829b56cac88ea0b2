"""Heads: from two embeddings of unit length to the logit of "same person".

Heads are fitted after the training, so they have buffers and no parameters. All are symmetric to the last bit.

A B batches, D embedding, P parts of an embedding, K sums
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import log

import torch
from torch import Tensor, nn

from model.networks.configurations import FUSED_SUMS

# A lower bound of the float32 cosine of a unit vector with itself.
IDENTICAL_COSINE = 1 - 1e-6


class Head(nn.Module, ABC):
    """logit = scale * score + bias."""

    scale: Tensor
    bias: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(1))
        self.register_buffer("bias", torch.zeros(1))

    @abstractmethod
    def score(self, left: Tensor, right: Tensor) -> Tensor:
        """(B, D) and (B, D) float32 of unit length -> (B,) scores."""

    @abstractmethod
    def score_table(self, left: Tensor, right: Tensor) -> Tensor:
        """(A, D) and (B, D) float32 of unit length -> (A, B), the scores of all pairs up to rounding."""

    @abstractmethod
    def identical_logit(self) -> Tensor | None:
        """(1,), the logit of two identical crops, or None if it depends on the crop."""

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """(B, D) and (B, D) float32 of unit length -> (B,) float32 logits."""
        return self.scale * self.score(left, right) + self.bias

    def logit_table(self, left: Tensor, right: Tensor) -> Tensor:
        """(A, D) and (B, D) float32 of unit length -> (A, B), the logits of all pairs up to rounding."""
        return self.scale * self.score_table(left, right) + self.bias


class CosineHead(Head):
    """The score is the cosine."""

    def score(self, left: Tensor, right: Tensor) -> Tensor:
        return (left * right).sum(1)

    def score_table(self, left: Tensor, right: Tensor) -> Tensor:
        return left @ right.T

    def identical_logit(self) -> Tensor | None:
        return self.scale * IDENTICAL_COSINE + self.bias


class JointBayesianHead(Head):
    """Joint Bayesian (Chen et al., "Bayesian Face Revisited", 2012) with its two matrices diagonalised together.

    With u = (x - mean) P and v = (y - mean) P: score = sum_d(own_d (u_d^2 + v_d^2) + cross_d u_d v_d), which is the
    paper's x'Ax + y'Ay - 2x'Gy with A = P diag(own) P' and -2G = P diag(cross) P'. Before it is fitted, the head
    computes the cosine.
    """

    mean: Tensor
    projection: Tensor
    own: Tensor
    cross: Tensor

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dimension))
        # Checkpoints store matrices in half precision. P suits it, as its columns have unit length, and the values that
        # differ by magnitudes are vectors, which are stored in single precision.
        self.register_buffer("projection", torch.zeros(dimension, dimension).fill_diagonal_(1))
        self.register_buffer("own", torch.zeros(dimension))
        self.register_buffer("cross", torch.ones(dimension))

    def score(self, left: Tensor, right: Tensor) -> Tensor:
        """(B, D) and (B, D) float32 of unit length -> (B,) log likelihood ratios up to a constant."""
        u, v = (left - self.mean) @ self.projection, (right - self.mean) @ self.projection
        return (self.own * (u * u + v * v) + self.cross * (u * v)).sum(1)

    def score_table(self, left: Tensor, right: Tensor) -> Tensor:
        u, v = ((side - self.mean) @ self.projection for side in (left, right))
        alone = (self.own * u * u).sum(1)[:, None] + (self.own * v * v).sum(1)
        return alone + (self.cross * u) @ v.T

    def identical_logit(self) -> Tensor | None:
        return None


class FusedHead(JointBayesianHead):
    """The soft minimum of weighted sums of scores, one score for each of the P parts of an embedding.

    The score of the first part, the towers', is that of Joint Bayesian, which has the mean, projection, own and cross;
    that of any other part is P times the inner product, from -1 to 1. With the scores s of a pair
    logit = scale * -log(sum_k exp(-(weights_k . s + biases_k))) + bias.

    If each sum is the log likelihood ratio of one person against a kind of strangers, less the log of that kind's
    share, this is the log likelihood ratio against all strangers: a pair must be unlike each kind. Score fusion by
    likelihood ratios is from Nandakumar et al., "Likelihood ratio-based biometric score fusion" (2008). Before it is
    fitted, the head compares what the towers give.
    """

    weights: Tensor
    biases: Tensor

    def __init__(self, parts: Sequence[int]) -> None:
        super().__init__(parts[0])
        self.parts = list(parts)
        towers_alone = torch.eye(1, len(parts)).repeat(FUSED_SUMS, 1)
        self.register_buffer("weights", towers_alone)
        self.register_buffer("biases", torch.full((FUSED_SUMS,), log(FUSED_SUMS)))

    def part_scores(self, left: Tensor, right: Tensor) -> Tensor:
        """(B, D) and (B, D) float32 of unit length -> (B, P)."""
        (u, *others), (v, *their) = left.split(self.parts, 1), right.split(self.parts, 1)
        products = [(one * other).sum(1) * len(self.parts) for one, other in zip(others, their, strict=True)]
        return torch.stack([super().score(u, v), *products], dim=1)

    def part_tables(self, left: Tensor, right: Tensor) -> Tensor:
        """(A, D) and (B, D) float32 of unit length -> (A, B, P), the parts' scores of all pairs up to rounding."""
        (u, *others), (v, *their) = left.split(self.parts, 1), right.split(self.parts, 1)
        products = [one @ other.T * len(self.parts) for one, other in zip(others, their, strict=True)]
        return torch.stack([super().score_table(u, v), *products], dim=2)

    def score(self, left: Tensor, right: Tensor) -> Tensor:
        """(B, D) and (B, D) float32 of unit length -> (B,), the soft minimum."""
        return self._fuse(self.part_scores(left, right))

    def score_table(self, left: Tensor, right: Tensor) -> Tensor:
        """(A, D) and (B, D) float32 of unit length -> (A, B), the soft minima of all pairs up to rounding."""
        return self._fuse(self.part_tables(left, right))

    def _fuse(self, scores: Tensor) -> Tensor:
        return soft_minimum(scores @ self.weights.T + self.biases)


def soft_minimum(values: Tensor) -> Tensor:
    """(..., K) -> (...): the least of the last dimension, or up to log K less."""
    return -(-values).logsumexp(-1)


def similarity(logits: Tensor) -> Tensor:
    """(B,) logits -> (B,) float64 similarities, 0 to 1."""
    # In single precision all logits above about 17 would give 1.
    return logits.double().sigmoid()
