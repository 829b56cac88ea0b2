"""The Joint Bayesian of Chen et al., "Bayesian Face Revisited" (2012), in closed form.

An embedding is the sum of a person and of a picture, both Gaussian, with covariances `between` and `within`. Whether
two embeddings are of one person is the ratio of two likelihoods, a quadratic form in both.

N pictures, D embedding
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

# How much of `within` is replaced by the same variance in every direction, which the training people underrate.
#
# Chosen on the held-out people of Experiment 5: area under ROC 0.946 at 0.1, 0.957 at 0.5, 0.961 at 0.9 and 0.97, where
# the cosine has 0.957.
SHRINKAGE = 0.9


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """Mean (D,) and covariances (D, D) of people and of their pictures, float64."""

    mean: Tensor
    between: Tensor
    within: Tensor


def scatter(embeddings: Tensor, labels: Tensor, shrinkage: float = SHRINKAGE) -> Scatter:
    """(N, D) and int64 (N,) numbers of people from 0 -> unbiased estimates; every person counts once for `between`.

    The means of people vary by `between` and by their pictures' share of `within`, which is taken off again.
    """
    values = embeddings.double()
    counts = labels.bincount().double()
    means = torch.zeros(len(counts), values.shape[1], dtype=torch.float64).index_add(0, labels, values)
    means /= counts[:, None]
    deviations = values - means[labels]
    within = deviations.T @ deviations / (len(values) - len(counts))
    mean = means.mean(0)
    spread = (means - mean).T @ (means - mean) / (len(counts) - 1)
    between = spread - within * counts.reciprocal().mean()
    even = torch.eye(len(mean), dtype=torch.float64) * within.diagonal().mean()
    return Scatter(mean=mean, between=between, within=torch.lerp(within, even, shrinkage))


def fit_joint_bayesian(head: nn.Module, found: Scatter) -> None:
    """Makes the raw score of a `JointBayesianHead` the log likelihood ratio, less its constant.

    In a basis where `within` is the identity and `between` is diagonal, with variances b: the two log likelihoods
    differ by sum_d(own_d (u_d^2 + v_d^2) + cross_d u_d v_d) with cross = b / (1 + 2b), own = -b cross / (2 (1 + b)).
    Directions in which people do not differ have b = 0 and say nothing.
    """
    projection, variances = diagonalise(found)
    cross = variances / (1 + 2 * variances)
    own = -variances * cross / (2 * (1 + variances))
    lengths = projection.norm(dim=0)
    head.get_buffer("mean").copy_(found.mean)
    head.get_buffer("projection").copy_(projection / lengths)
    head.get_buffer("own").copy_(own * lengths**2)
    head.get_buffer("cross").copy_(cross * lengths**2)


def diagonalise(found: Scatter) -> tuple[Tensor, Tensor]:
    """P (D, D) and b (D,) so that P' within P = 1 and P' between P = diag(b), negative estimates taken as 0."""
    inverse = torch.linalg.inv(torch.linalg.cholesky(found.within))
    variances, basis = torch.linalg.eigh(inverse @ found.between @ inverse.T)
    return inverse.T @ basis, variances.clamp_min(0)
