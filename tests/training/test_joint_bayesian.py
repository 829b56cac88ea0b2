"""The closed form of the Joint Bayesian model, compared with the Gaussians that it is derived from."""

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from model.networks.heads import JointBayesianHead
from training.fitting import Scatter, diagonalise, fit_joint_bayesian, scatter

DIMENSION = 5


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def covariance(seed: int, size: float) -> Tensor:
    root = torch.randn(DIMENSION, DIMENSION, generator=draws(seed), dtype=torch.float64)
    return size * (root @ root.T / DIMENSION + 0.1 * torch.eye(DIMENSION, dtype=torch.float64))


def known() -> Scatter:
    mean = torch.randn(DIMENSION, generator=draws(9), dtype=torch.float64)
    return Scatter(mean=mean, between=covariance(1, 0.4), within=covariance(2, 0.1))


def sample(people: int, pictures: int) -> tuple[Tensor, Tensor]:
    """Embeddings of the known model; the last person has a single picture."""
    found = known()
    count = people * pictures
    normal = torch.randn(people + count, DIMENSION, generator=draws(3), dtype=torch.float64)
    persons = found.mean + normal[:people] @ torch.linalg.cholesky(found.between).T
    labels = torch.arange(people).repeat_interleave(pictures)
    values = persons[labels] + normal[people:] @ torch.linalg.cholesky(found.within).T
    return values[: count - pictures + 1], labels[: count - pictures + 1]


def log_ratio(found: Scatter, x: Tensor, y: Tensor) -> float:
    """log p(x, y | one person) - log p(x, y | two), both as Gaussians of twice the dimension."""
    total, apart = found.between + found.within, torch.zeros_like(found.between)
    mean, both = torch.cat([found.mean, found.mean]), torch.cat([x, y])

    def density(cross: Tensor) -> float:
        joint = torch.cat([torch.cat([total, cross], 1), torch.cat([cross, total], 1)])
        return float(MultivariateNormal(mean, joint).log_prob(both))

    return density(found.between) - density(apart)


def test_head_computes_the_log_likelihood_ratio_up_to_a_constant() -> None:
    head = JointBayesianHead(DIMENSION)
    fit_joint_bayesian(head, known())
    left, right = torch.randn(2, 20, DIMENSION, generator=draws(4))
    expected = torch.tensor([log_ratio(known(), x.double(), y.double()) for x, y in zip(left, right, strict=True)])
    found = head.score(left, right)
    constant = float((expected - found).mean())
    assert torch.allclose(found + constant, expected.float(), atol=1e-3)
    same = log_ratio(known(), known().mean, known().mean)
    assert constant == pytest.approx(same, abs=1e-3)


def test_head_equals_the_matrices_of_the_paper() -> None:
    """Chen et al. 2012, equations 5 to 7: A and G from the inverse of the joint covariance."""
    found, head = known(), JointBayesianHead(DIMENSION)
    fit_joint_bayesian(head, found)
    total = found.between + found.within
    joint = torch.cat([torch.cat([total, found.between], 1), torch.cat([found.between, total], 1)])
    inverse = torch.linalg.inv(joint)
    f_plus_g, g = inverse[:DIMENSION, :DIMENSION], inverse[:DIMENSION, DIMENSION:]
    a = torch.linalg.inv(total) - f_plus_g
    projection = head.projection.double()
    assert torch.allclose(projection @ torch.diag(head.own.double()) @ projection.T, a / 2, atol=1e-3)
    assert torch.allclose(projection @ torch.diag(head.cross.double()) @ projection.T, -g, atol=1e-3)


def test_projection_columns_have_unit_length() -> None:
    head = JointBayesianHead(DIMENSION)
    fit_joint_bayesian(head, known())
    assert torch.allclose(head.projection.norm(dim=0), torch.ones(DIMENSION), atol=1e-6)


def test_half_precision_hardly_changes_scores() -> None:
    head, rounded = JointBayesianHead(DIMENSION), JointBayesianHead(DIMENSION)
    fit_joint_bayesian(head, known())
    fit_joint_bayesian(rounded, known())
    rounded.projection.copy_(rounded.projection.half().float())
    left, right = torch.randn(2, 200, DIMENSION, generator=draws(4))
    scores = head.score(left, right)
    assert float((rounded.score(left, right) - scores).abs().max()) < 0.01 * float(scores.std())


def test_diagonalise_makes_both_covariances_diagonal() -> None:
    projection, variances = diagonalise(known())
    identity = torch.eye(DIMENSION, dtype=torch.float64)
    assert torch.allclose(projection.T @ known().within @ projection, identity, atol=1e-9)
    assert torch.allclose(projection.T @ known().between @ projection, torch.diag(variances), atol=1e-9)


def test_scatter_estimates_the_known_model() -> None:
    found = scatter(*sample(4000, 4), shrinkage=0)
    assert torch.allclose(found.mean, known().mean, atol=0.05)
    assert torch.allclose(found.within, known().within, atol=0.01)
    assert torch.allclose(found.between, known().between, atol=0.05)


def test_scatter_equals_a_slow_loop() -> None:
    values, labels = sample(6, 3)
    found = scatter(values, labels, shrinkage=0.25)
    groups = [values[labels == person] for person in range(6)]
    within = torch.zeros(DIMENSION, DIMENSION, dtype=torch.float64)
    for group in groups:
        for picture in group:
            within += torch.outer(picture - group.mean(0), picture - group.mean(0))
    within /= sum(len(group) - 1 for group in groups)
    mean = torch.stack([group.mean(0) for group in groups]).mean(0)
    between = sum(torch.outer(group.mean(0) - mean, group.mean(0) - mean) for group in groups) / 5
    between = between - within * sum(1 / len(group) for group in groups) / 6
    assert torch.allclose(found.mean, mean)
    assert torch.allclose(found.between, between)
    shrunk = 0.75 * within + 0.25 * torch.eye(DIMENSION, dtype=torch.float64) * within.trace() / DIMENSION
    assert torch.allclose(found.within, shrunk)


def test_directions_without_differences_have_no_weight() -> None:
    head, flat = JointBayesianHead(DIMENSION), known().between.clone()
    flat[0], flat[:, 0] = 0, 0
    flat[0, 0] = -0.1
    within = torch.eye(DIMENSION, dtype=torch.float64)
    fit_joint_bayesian(head, Scatter(mean=torch.zeros(DIMENSION), between=flat, within=within))
    first = torch.eye(DIMENSION)[:1]
    assert float(head.score(first, -first)) == pytest.approx(0, abs=1e-5)
