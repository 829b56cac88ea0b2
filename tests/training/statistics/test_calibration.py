"""Probabilities from scores, and how well they hold."""

import math

import numpy as np
import pytest
import torch

from training.statistics.calibration import calibration_error, platt
from training.statistics.rates import Labels, Scores


def scored(count: int = 4000, scale: float = 3.0, bias: float = -1.0) -> tuple[Scores, Labels]:
    """Scores whose probability of "same" is sigmoid(scale * score + bias)."""
    draws = np.random.default_rng(0)
    scores = draws.normal(0.3, 1.0, count)
    return scores, draws.random(count) < 1 / (1 + np.exp(-(scale * scores + bias)))


def loss(scale: float, bias: float, scores: Scores, same: Labels) -> float:
    """Platt's, by a slow loop, with softened labels; both kinds together weigh alike."""
    genuine, impostor = int(same.sum()), int((~same).sum())
    total = 0.0
    for score, label in zip(scores.tolist(), same.tolist(), strict=True):
        soft = 1 / (min(genuine, impostor) + 2)
        target = 1 - soft if label else soft
        likely = 1 / (1 + math.exp(-(scale * score + bias)))
        weight = len(same) / 2 / (genuine if label else impostor)
        total -= weight * (target * math.log(likely) + (1 - target) * math.log(1 - likely))
    return total


def test_platt_recovers_the_known_sigmoid() -> None:
    scores, same = scored()
    beforehand = math.log(same.sum() / (~same).sum())
    assert platt(scores, same) == pytest.approx((3, -1 - beforehand), rel=0.15)


def test_platt_does_not_depend_on_the_balance_of_pairs() -> None:
    scores, same = scored()
    scarce = np.flatnonzero(~same | (np.arange(len(same)) % 4 == 0))
    assert platt(scores[scarce], same[scarce]) == pytest.approx(platt(scores, same), rel=0.1)


def test_platt_maximises_the_likelihood() -> None:
    scores, same = scored(200)
    scale, bias = platt(scores, same)
    best = loss(scale, bias, scores, same)
    for change in (0.9, 0.99, 1.01, 1.1):
        assert loss(scale * change, bias, scores, same) > best
        assert loss(scale, bias * change, scores, same) > best


@pytest.mark.parametrize("size", [1e-4, 1.0, 1e4])
def test_platt_does_not_depend_on_the_scale_of_scores(size: float) -> None:
    scores, same = scored(300)
    scale, bias = platt(scores, same)
    assert platt(scores * size, same) == pytest.approx((scale / size, bias), rel=1e-6)


def test_platt_is_finite_for_separable_scores() -> None:
    scale, bias = platt(np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True]))
    assert math.isfinite(scale)
    assert math.isfinite(bias)
    assert 1 / (1 + math.exp(-(scale * 0.9 + bias))) < 0.85


def test_uninformative_scores_give_the_prior() -> None:
    scale, bias = platt(np.ones(10), np.arange(10) < 5)
    assert 1 / (1 + math.exp(-(scale + bias))) == pytest.approx(0.5, abs=1e-6)


def test_calibration_error_equals_a_slow_loop() -> None:
    draws = torch.Generator().manual_seed(0)
    scores = torch.rand(100, generator=draws).double().numpy()
    same = (torch.rand(100, generator=draws) < 0.6).numpy()
    ranked = sorted(zip(scores.tolist(), same.tolist(), strict=True))
    error, start = 0.0, 0
    for number in range(15):
        group = ranked[start : start + (7 if number < 10 else 6)]
        start += len(group)
        error += abs(sum(score for score, _ in group) - sum(label for _, label in group)) / 100
    assert calibration_error(scores, same) == pytest.approx(error)


def test_exact_probabilities_have_a_small_error() -> None:
    scores, same = scored(20_000)
    right = 1 / (1 + np.exp(-(3 * scores - 1)))
    assert calibration_error(right, same) < 0.015
    assert calibration_error(right**3, same) > 0.05
    assert calibration_error(np.array([0.75]), np.array([True])) == 0.25
