"""Rates over all pairs with intervals over people, against slow loops."""

import numpy as np
import pytest

from training.statistics import rates
from training.statistics.over_people import area_under_roc, non_match_rate
from training.statistics.rates import Scores, wilson
from training.statistics.resampling import Owners, draw_people

PEOPLE = 12


def scored() -> tuple[Scores, Owners, Scores, Owners, Owners]:
    """All pairs of people with one to four pictures, with equal scores among them."""
    draws = np.random.default_rng(0)
    owner = np.repeat(np.arange(PEOPLE), draws.integers(1, 5, PEOPLE))
    left, right = np.triu_indices(len(owner), 1)
    same = owner[left] == owner[right]
    scores = (draws.normal(0, 1, len(left)) + 1.5 * same + draws.normal(0, 1, PEOPLE)[owner[left]]).round(1)
    return scores[same], owner[left[same]], scores[~same], owner[left[~same]], owner[right[~same]]


def area(genuine: Scores, impostor: Scores) -> float:
    scores = np.concatenate([genuine, impostor])
    return rates.area_under_roc(scores, np.arange(len(scores)) < len(genuine))


def test_area_and_its_jackknife_equal_a_slow_loop() -> None:
    genuine, owner, impostor, left, right = scored()
    without = [
        area(genuine[owner != person], impostor[(left != person) & (right != person)]) for person in range(PEOPLE)
    ]
    squares = sum((each - np.mean(without)) ** 2 for each in without)
    deviation = np.sqrt((PEOPLE - 1) / PEOPLE * squares)
    found = area_under_roc(genuine, owner, impostor, left, right)
    assert found.value == pytest.approx(area(genuine, impostor))
    assert found.low == pytest.approx(found.value - rates.Z_95 * deviation)
    assert found.high == pytest.approx(min(found.value + rates.Z_95 * deviation, 1.0))
    assert 0.02 < deviation < 0.1


def test_interval_is_unknown_if_nobody_can_be_left_out() -> None:
    genuine, owner = np.array([2.0, 0.5]), np.array([0, 0])
    found = area_under_roc(genuine, owner, np.array([1.0]), np.array([0]), np.array([1]))
    assert (found.value, found.low, found.high) == (0.5, 0.0, 1.0)
    found = area_under_roc(genuine, owner, np.array([1.0, 1.2]), np.array([0, 0]), np.array([1, 2]))
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


def test_non_match_rate_equals_a_slow_bootstrap() -> None:
    genuine, owner, *_ = scored()
    rejected = genuine < 1
    found = non_match_rate(rejected, owner)
    drawn = []
    for round_ in draw_people(int(owner.max()) + 1):
        chosen = [i for i, person in enumerate(owner) for _ in range(round_[person])]
        if chosen:
            drawn.append(rejected[chosen].mean())
    assert found.value == rejected.mean()
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])))


def test_non_match_rate_of_none_rejected_has_wilsons_interval() -> None:
    found = non_match_rate(np.zeros(40, bool), np.repeat(np.arange(4), 10))
    assert (found.low, found.high) == (0.0, wilson(0, 40).high)
