"""Heads: from two embeddings of unit length to the logit of "same person".

Heads are fitted in closed form, so they have buffers and no parameters. Both are symmetric to the last bit.

A B batches, D embedding
"""

import torch
from torch import Tensor, nn

# A lower bound of the float32 cosine of a unit vector with itself.
IDENTICAL_COSINE = 1 - 1e-6


class CosineHead(nn.Module):
    """logit = scale * cosine + bias."""

    scale: Tensor
    bias: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(1))
        self.register_buffer("bias", torch.zeros(1))

    def score(self, left: Tensor, right: Tensor) -> Tensor:
        """(B, D) and (B, D) float32 of unit length -> (B,) cosines."""
        return (left * right).sum(1)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """(B, D) and (B, D) float32 of unit length -> (B,) float32 logits."""
        return self.scale * self.score(left, right) + self.bias

    def logit_table(self, left: Tensor, right: Tensor) -> Tensor:
        """(A, D) and (B, D) float32 of unit length -> (A, B), the logits of all pairs up to rounding."""
        return self.scale * (left @ right.T) + self.bias

    def identical_logit(self) -> Tensor | None:
        """(1,), the logit of two identical crops."""
        return self.scale * IDENTICAL_COSINE + self.bias


class JointBayesianHead(nn.Module):
    """Joint Bayesian (Chen et al., "Bayesian Face Revisited", 2012) with its two matrices diagonalised together.

    With u = (x - mean) P and v = (y - mean) P: logit = scale * sum_d(own_d (u_d^2 + v_d^2) + cross_d u_d v_d) + bias,
    which is the paper's x'Ax + y'Ay - 2x'Gy with A = P diag(own) P' and -2G = P diag(cross) P'.
    Before it is fitted, the head computes the cosine.
    """

    mean: Tensor
    projection: Tensor
    own: Tensor
    cross: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dimension))
        # Checkpoints store matrices in half precision. P suits it, as its columns have unit length, and the values that
        # differ by magnitudes are vectors, which are stored in single precision.
        self.register_buffer("projection", torch.zeros(dimension, dimension).fill_diagonal_(1))
        self.register_buffer("own", torch.zeros(dimension))
        self.register_buffer("cross", torch.ones(dimension))
        self.register_buffer("scale", torch.ones(1))
        self.register_buffer("bias", torch.zeros(1))

    def score(self, left: Tensor, right: Tensor) -> Tensor:
        """(B, D) and (B, D) float32 of unit length -> (B,) log likelihood ratios up to a constant."""
        u, v = (left - self.mean) @ self.projection, (right - self.mean) @ self.projection
        return (self.own * (u * u + v * v) + self.cross * (u * v)).sum(1)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """(B, D) and (B, D) float32 of unit length -> (B,) float32 logits."""
        return self.scale * self.score(left, right) + self.bias

    def logit_table(self, left: Tensor, right: Tensor) -> Tensor:
        """(A, D) and (B, D) float32 of unit length -> (A, B), the logits of all pairs up to rounding."""
        u, v = ((side - self.mean) @ self.projection for side in (left, right))
        alone = (self.own * u * u).sum(1)[:, None] + (self.own * v * v).sum(1)
        return self.scale * (alone + (self.cross * u) @ v.T) + self.bias

    def identical_logit(self) -> Tensor | None:
        """None: the logit of two identical crops depends on the crop."""
        return None


def similarity(logits: Tensor) -> Tensor:
    """(B,) logits -> (B,) float64 similarities, 0 to 1."""
    # In single precision all logits above about 17 would give 1.
    return logits.double().sigmoid()
