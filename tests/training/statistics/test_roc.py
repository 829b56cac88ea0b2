"""The ROC and what is read off it, against slow loops over scores with ties, and where the answer is known."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.support.scored import Pairs, rates_at, scored_pairs, thresholds
from training.statistics.rates import Labels, Scores, area_under_roc, equal_error_rate, fnmr_at_fmr, roc


def crossing(scores: Scores, same: Labels) -> float:
    """Where the polyline of (FMR, FNMR) meets the diagonal."""
    points = [rates_at(scores, same, threshold) for threshold in thresholds(scores)]
    for (fmr, fnmr), (next_fmr, next_fnmr) in pairwise(points):
        if next_fmr >= next_fnmr:
            weight = (fnmr - fmr) / ((next_fmr - fmr) + (fnmr - next_fnmr))
            return fmr + weight * (next_fmr - fmr)
    raise AssertionError("the rates never cross")


@given(scored_pairs())
def test_roc_equals_counting(pairs: Pairs) -> None:
    scores, same = pairs
    fmr, fnmr = roc(scores, same)
    expected = [rates_at(scores, same, threshold) for threshold in thresholds(scores)]
    np.testing.assert_allclose(np.stack([fmr, fnmr], axis=1), expected, atol=1e-12)
    assert (fmr[0], fnmr[0], fmr[-1], fnmr[-1]) == (0, 1, 1, 0)


@given(scored_pairs())
def test_area_is_the_share_of_correctly_ordered_pairs(pairs: Pairs) -> None:
    scores, same = pairs
    wins = [
        1.0 if genuine > impostor else 0.5 if genuine == impostor else 0.0
        for genuine in scores[same]
        for impostor in scores[~same]
    ]
    assert area_under_roc(scores, same) == pytest.approx(sum(wins) / len(wins))


@given(scored_pairs())
def test_equal_error_rate_is_where_the_rates_cross(pairs: Pairs) -> None:
    assert equal_error_rate(*pairs) == pytest.approx(crossing(*pairs))


@given(scored_pairs(), st.sampled_from([0.0, 0.01, 0.1, 0.25, 0.5, 1.0]))
def test_fnmr_at_fmr_equals_a_search(pairs: Pairs, max_fmr: float) -> None:
    scores, same = pairs
    rates = [rates_at(scores, same, threshold) for threshold in thresholds(scores)]
    assert fnmr_at_fmr(scores, same, max_fmr) == min(fnmr for fmr, fnmr in rates if fmr <= max_fmr)


@pytest.mark.parametrize("impostors", [100, 300, 500])
def test_fmr_of_exactly_one_per_cent_is_allowed(impostors: int) -> None:
    allowed = impostors // 100
    scores = np.concatenate([np.full(allowed, 0.9), np.full(impostors - allowed, 0.1), np.array([0.8, 0.95])])
    same = np.concatenate([np.zeros(impostors, bool), np.ones(2, bool)])
    assert fnmr_at_fmr(scores, same, 0.01) == 0.0
    assert fnmr_at_fmr(scores, same, 0.0099) == 0.5


@pytest.mark.parametrize(("shape", "area", "rate", "rejected"), [("perfect", 1, 0, 0), ("inverted", 0, 1, 1)])
def test_perfect_and_inverted_scores(shape: str, area: float, rate: float, rejected: float) -> None:
    same = np.arange(100) >= 50
    scores = np.linspace(0, 1, 100) if shape == "perfect" else np.linspace(1, 0, 100)
    assert area_under_roc(scores, same) == pytest.approx(area)
    assert equal_error_rate(scores, same) == pytest.approx(rate)
    assert fnmr_at_fmr(scores, same, 0.01) == rejected


def test_random_scores_have_chance_rates() -> None:
    draws = np.random.default_rng(0)
    scores, same = draws.random(20_000), draws.random(20_000) < 0.5
    assert area_under_roc(scores, same) == pytest.approx(0.5, abs=0.015)
    assert equal_error_rate(scores, same) == pytest.approx(0.5, abs=0.015)
    assert fnmr_at_fmr(scores, same, 0.01) == pytest.approx(0.99, abs=0.005)
    all_tied = np.full(20_000, 0.5)
    assert (area_under_roc(all_tied, same), equal_error_rate(all_tied, same)) == pytest.approx((0.5, 0.5))
