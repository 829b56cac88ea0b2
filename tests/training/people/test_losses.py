"""The losses over embeddings, against slow loops."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from training.people.losses import (
    Classifier,
    large_margin_cosine,
    relational_distillation,
    sharded_large_margin_cosine,
    supervised_contrastive,
)


def embeddings(count: int = 11, dimension: int = 6, seed: int = 0) -> Tensor:
    return functional.normalize(torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed)))


# Person 2 and person 4 are alone.
LABELS = torch.tensor([0, 1, 0, 2, 1, 0, 3, 3, 4, 0, 1])


def slow_contrastive(vectors: Tensor, labels: list[int], temperature: float) -> float:
    """Khosla et al. 2020, equation 2."""
    terms = []
    for i, anchor in enumerate(vectors.double()):
        others = [j for j in range(len(labels)) if j != i]
        positives = [j for j in others if labels[j] == labels[i]]
        if not positives:
            continue
        total = sum(math.exp(float(anchor @ vectors[j].double()) / temperature) for j in others)
        shares = [math.exp(float(anchor @ vectors[j].double()) / temperature) / total for j in positives]
        terms.append(-sum(math.log(share) for share in shares) / len(positives))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_contrastive_loss_equals_a_slow_loop(temperature: float) -> None:
    found = supervised_contrastive(embeddings(), LABELS, temperature)
    assert float(found) == pytest.approx(slow_contrastive(embeddings(), LABELS.tolist(), temperature), rel=1e-5)


def test_contrastive_loss_falls_as_people_cluster() -> None:
    directions = torch.eye(6)[LABELS]
    assert float(supervised_contrastive(directions, LABELS, 0.1)) < 1.2
    assert float(supervised_contrastive(embeddings(), LABELS, 0.1)) > 2
    assert float(supervised_contrastive(directions, LABELS.roll(1), 0.1)) > 4


def slow_divergence(vectors: Tensor, wanted: Tensor, temperature: float) -> float:
    """Passalis and Tefas 2018, equation 6, with softmax as the kernel."""
    total = 0.0
    for i in range(len(vectors)):
        others = [j for j in range(len(vectors)) if j != i]
        found, taught = (
            [math.exp(float(cosines[i, j]) / temperature) for j in others] for cosines in (vectors @ vectors.T, wanted)
        )
        for p, q in zip(taught, found, strict=True):
            total += p / sum(taught) * math.log(p / sum(taught) / (q / sum(found)))
    return total / len(vectors)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_distillation_equals_a_slow_loop(temperature: float) -> None:
    teacher = embeddings(seed=1)
    wanted = teacher @ teacher.T
    found = relational_distillation(embeddings(), wanted, temperature)
    assert float(found) == pytest.approx(slow_divergence(embeddings(), wanted, temperature), rel=1e-4)
    assert float(relational_distillation(teacher, wanted, temperature)) == pytest.approx(0, abs=1e-6)


def test_distillation_brings_cosines_to_those_of_the_teacher() -> None:
    teacher, vectors = embeddings(seed=1), embeddings().requires_grad_()
    wanted = teacher @ teacher.T
    optimizer = torch.optim.Adam([vectors], 0.05)
    before = after = float((vectors @ vectors.T - wanted).detach().abs().mean())
    for _ in range(300):
        optimizer.zero_grad()
        unit = functional.normalize(vectors)
        relational_distillation(unit, wanted, 0.2).backward()
        optimizer.step()
        after = float((unit @ unit.T - wanted).detach().abs().mean())
    assert after < before / 5


def test_gradients_are_finite_for_all_different_or_one_person() -> None:
    for labels in (torch.arange(11), torch.zeros(11, dtype=torch.int64)):
        vectors = embeddings().requires_grad_()
        loss = supervised_contrastive(vectors, labels, 0.1)
        loss.backward()
        assert bool(loss.isfinite())
        assert vectors.grad is not None
        assert bool(vectors.grad.isfinite().all())


def test_cosface_equals_a_slow_loop() -> None:
    """Wang et al. 2018, equation 4."""
    classifier = Classifier(5, 6)
    torch.nn.init.normal_(classifier.weight, generator=torch.Generator().manual_seed(3))
    cosines = classifier(embeddings()).detach()
    expected = 0.0
    for vector, label in zip(embeddings(), LABELS.tolist(), strict=True):
        found = [float(vector @ row / row.norm()) for row in classifier.weight.detach()]
        logits = [20 * (cosine - 0.15 * (k == label)) for k, cosine in enumerate(found)]
        expected -= (logits[label] - math.log(sum(math.exp(logit) for logit in logits))) / len(LABELS)
    assert float(large_margin_cosine(cosines, LABELS, 20, 0.15)) == pytest.approx(expected, rel=1e-4)


def test_margin_raises_the_loss() -> None:
    cosines = embeddings(dimension=5)
    losses = [float(large_margin_cosine(cosines, LABELS, 20, margin)) for margin in (0.0, 0.15, 0.3)]
    assert losses == sorted(losses)
    assert len(set(losses)) == 3


@pytest.mark.parametrize("scale", [20.0, 500.0])
def test_sharded_loss_of_all_people_equals_the_whole_one(scale: float) -> None:
    """Also where the exponential of a logit would be infinite."""
    sharded, whole = (embeddings(dimension=5).requires_grad_() for _ in range(2))
    ours = sharded_large_margin_cosine(sharded, LABELS[:, None] == torch.arange(5), scale, 0.15)
    theirs = large_margin_cosine(whole, LABELS, scale, 0.15)
    torch.autograd.backward([ours, theirs])
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-5)
    assert sharded.grad is not None
    assert whole.grad is not None
    assert torch.allclose(sharded.grad, whole.grad, atol=1e-5)
