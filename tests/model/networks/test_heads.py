"""The heads compared with slow loops and the paper's formula; their symmetry."""

from math import exp, log

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from model.networks.heads import CosineHead, FusedHead, Head, JointBayesianHead

PAIRS, DIMENSION = 9, 12
PARTS = (6, 4, 2)
HEADS = ["cosine", "joint-bayesian", "fused"]


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def head(kind: str) -> Head:
    """A head with arbitrary values."""
    if kind == "cosine":
        made: Head = CosineHead()
    else:
        made = FusedHead(PARTS) if kind == "fused" else JointBayesianHead(DIMENSION)
    for number, buffer in enumerate(made.buffers()):
        buffer.copy_(draws(*buffer.shape, seed=10 + number))
    return made


def pairs() -> tuple[Tensor, Tensor]:
    return functional.normalize(draws(PAIRS, DIMENSION, seed=1)), functional.normalize(draws(PAIRS, DIMENSION, seed=2))


def test_cosine_equals_a_slow_loop() -> None:
    made, (left, right) = head("cosine"), pairs()
    for logit, x, y in zip(made(left, right), left.tolist(), right.tolist(), strict=True):
        cosine = sum(a * b for a, b in zip(x, y, strict=True))
        assert float(logit) == pytest.approx(float(made.scale) * cosine + float(made.bias), abs=1e-6)


def test_joint_bayesian_equals_the_formula_of_the_paper() -> None:
    """x'Ax + y'Ay - 2x'Gy with full matrices."""
    made, (left, right) = head("joint-bayesian"), pairs()
    assert isinstance(made, JointBayesianHead)
    projection = made.projection.double()
    a = projection @ torch.diag(made.own.double()) @ projection.T
    g = projection @ torch.diag(made.cross.double()) @ projection.T / -2
    for logit, raw, x, y in zip(made(left, right), made.score(left, right), left, right, strict=True):
        u, v = (x - made.mean).double(), (y - made.mean).double()
        expected = float(u @ a @ u + v @ a @ v - 2 * u @ g @ v)
        assert float(raw) == pytest.approx(expected, rel=1e-4, abs=1e-4)
        assert float(logit) == pytest.approx(float(made.scale) * expected + float(made.bias), rel=1e-4, abs=1e-4)


def test_fused_equals_a_slow_loop() -> None:
    made, (left, right) = head("fused"), pairs()
    assert isinstance(made, FusedHead)
    towers = JointBayesianHead(PARTS[0])
    for name in ("mean", "projection", "own", "cross"):
        towers.get_buffer(name).copy_(made.get_buffer(name))
    for logit, x, y in zip(made(left, right), left, right, strict=True):
        scores = [
            float(towers.score(x[None, :6], y[None, :6])),
            3 * sum(a * b for a, b in zip(x[6:10].tolist(), y[6:10].tolist(), strict=True)),
            3 * sum(a * b for a, b in zip(x[10:].tolist(), y[10:].tolist(), strict=True)),
        ]
        sums = [
            bias + sum(weight * score for weight, score in zip(row, scores, strict=True))
            for row, bias in zip(made.weights.tolist(), made.biases.tolist(), strict=True)
        ]
        against_both = -log(sum(exp(-each) for each in sums))
        assert against_both < min(sums)
        assert float(logit) == pytest.approx(float(made.scale) * against_both + float(made.bias), rel=1e-4, abs=1e-4)


def test_new_fused_compares_the_first_part_alone() -> None:
    left, right = pairs()
    first = JointBayesianHead(PARTS[0])(left[:, :6], right[:, :6])
    assert torch.allclose(FusedHead(PARTS)(left, right), first, atol=1e-6)


@pytest.mark.parametrize("kind", HEADS)
def test_heads_are_symmetric_bit_for_bit(kind: str) -> None:
    made, (left, right) = head(kind), pairs()
    assert torch.equal(made(left, right), made(right, left))


def test_new_joint_bayesian_is_the_cosine() -> None:
    left, right = pairs()
    assert torch.allclose(JointBayesianHead(DIMENSION)(left, right), CosineHead()(left, right), atol=1e-6)


def test_identical_logit_is_a_lower_bound() -> None:
    made = CosineHead()
    made.scale.fill_(20)
    made.bias.fill_(-7)
    embeddings = functional.normalize(draws(500, 256))
    identical = made.identical_logit()
    assert identical is not None
    assert bool((made(embeddings, embeddings) >= identical).all())
    assert float(identical) == pytest.approx(13, abs=1e-3)
    assert JointBayesianHead(DIMENSION).identical_logit() is None


@pytest.mark.parametrize("kind", HEADS)
def test_heads_have_buffers_and_no_parameters(kind: str) -> None:
    made = head(kind)
    assert not list(made.parameters())
    assert "scale" in made.state_dict()
