"""Accuracy, thresholds, intervals and losses against slow loops over scores with ties, and textbook values."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.support.scored import Pairs, of_tallies, right_at, scored_pairs
from training.statistics.rates import (
    Labels,
    Scores,
    accuracy,
    best_threshold,
    cross_entropy,
    squared_error,
    wilson,
)
from training.statistics.resampling import bootstrap


@given(scored_pairs(), st.sampled_from([0.0, 0.25, 0.5, 0.53125, 1.0]))
def test_accuracy_counts_correct_decisions(pairs: Pairs, threshold: float) -> None:
    scores, same = pairs
    right = right_at(scores, same, threshold)
    assert accuracy(scores, same, threshold) == wilson(right, len(scores))
    assert accuracy(scores, same, threshold).value == right / len(scores)


def test_score_at_the_threshold_is_accepted() -> None:
    scores = np.array([0.5, 0.5, np.nextafter(0.5, 0)])
    assert accuracy(scores, np.array([True, False, False]), 0.5).value == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_wilson_gives_the_published_intervals(successes: int, trials: int, low: float, high: float) -> None:
    estimate = wilson(successes, trials)
    assert estimate.value == successes / trials
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=5e-5)
    assert 0 <= estimate.low <= estimate.value <= estimate.high + 1e-12 <= 1 + 1e-12


@given(st.integers(1, 500).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))))
def test_wilson_ends_where_the_score_test_rejects(counts: tuple[int, int]) -> None:
    """At an end p of the interval the share lies 1.96 standard errors, taken at p, away from p."""
    successes, trials = counts
    estimate = wilson(successes, trials)
    for p in (estimate.low, estimate.high):
        if 1e-9 < p < 1 - 1e-9:
            assert abs(successes / trials - p) / math.sqrt(p * (1 - p) / trials) == pytest.approx(1.959964, rel=1e-6)


@given(scored_pairs(), st.sampled_from([0.0, 0.3, 0.5, 0.8125, 1.0]))
def test_best_threshold_maximises_accuracy(pairs: Pairs, ceiling: float) -> None:
    scores, same = pairs
    found = best_threshold(scores, same, ceiling)
    assert 0 <= found <= ceiling
    every = [t for t in (i / 64 for i in range(65)) if t <= ceiling]
    assert right_at(scores, same, found) == max(right_at(scores, same, t) for t in every)


def test_best_threshold_lies_halfway_between_two_scores() -> None:
    scores = np.array([0.1, 0.2, 0.7, 0.9])
    assert best_threshold(scores, np.array([False, False, True, True])) == pytest.approx(0.45)
    assert best_threshold(scores, np.array([False, False, True, True]), ceiling=0.3) == 0.3
    assert best_threshold(scores, np.array([True, True, True, False])) == pytest.approx(0.1)


def test_middle_one_of_several_best_thresholds_is_taken() -> None:
    scores = np.array([0.2, 0.4, 0.6, 0.8])
    assert best_threshold(scores, np.array([False, True, False, True])) in (pytest.approx(0.3), pytest.approx(0.7))
    scores = np.array([0.1, 0.3, 0.5, 0.7, 0.9, 0.95])
    middle = best_threshold(scores, np.array([False, True, False, True, False, True]))
    assert middle == pytest.approx(0.6)


def mean_of_genuine(scores: Scores, same: Labels) -> float:
    return float(scores[same].mean())


def test_bootstrap_is_deterministic_and_near_the_normal_interval() -> None:
    draws = np.random.default_rng(1)
    same = np.arange(400) < 200
    scores = draws.random(400)
    statistics = {"mean": of_tallies(mean_of_genuine)}
    estimate = bootstrap(statistics, scores, same)["mean"]
    assert bootstrap(statistics, scores, same)["mean"] == estimate
    order = np.argsort(scores)  # a tally's
    assert estimate.value == mean_of_genuine(scores[order], same[order])
    half = 1.959964 * float(scores[same].std()) / math.sqrt(200)
    assert (estimate.low, estimate.high) == pytest.approx((estimate.value - half, estimate.value + half), abs=0.005)


def test_bootstrap_keeps_the_balance_of_the_two_kinds() -> None:
    same = np.arange(50) < 13
    statistics = {"genuine": of_tallies(lambda _scores, labels: float(labels.sum()))}
    estimate = bootstrap(statistics, np.linspace(0, 1, 50), same)["genuine"]
    assert (estimate.value, estimate.low, estimate.high) == (13, 13, 13)


@given(scored_pairs())
def test_losses_equal_a_slow_loop(pairs: Pairs) -> None:
    scores, same = pairs
    entropy = squares = 0.0
    for score, genuine in zip(scores, same, strict=True):
        likelihood = score if genuine else 1 - score
        entropy -= math.log(max(likelihood, 1e-12))
        squares += (score - (1 if genuine else 0)) ** 2
    assert cross_entropy(scores, same) == pytest.approx(entropy / len(scores))
    assert squared_error(scores, same) == pytest.approx(squares / len(scores))


def test_a_certain_mistake_costs_much_and_not_infinity() -> None:
    assert cross_entropy(np.array([0.0]), np.array([True])) == pytest.approx(-math.log(1e-12))
    assert cross_entropy(np.array([1.0]), np.array([False])) == pytest.approx(-math.log(1e-12))
