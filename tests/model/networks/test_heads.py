"""The heads compared with slow loops and the paper's formula; their symmetry."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from model.networks.heads import CosineHead, JointBayesianHead

PAIRS, DIMENSION = 9, 12
HEADS = ["cosine", "joint-bayesian"]


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def head(kind: str) -> CosineHead | JointBayesianHead:
    """A head with arbitrary values."""
    made = CosineHead() if kind == "cosine" else JointBayesianHead(DIMENSION)
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
