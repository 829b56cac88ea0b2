"""Thresholds at wanted false match rates, and intervals over people."""

import numpy as np
import pytest

from training.statistics.operating_points import (
    WANTED,
    false_match_curve,
    lowest_threshold,
    measured_again,
    operating_points,
    people_for,
    rate_interval,
    supported,
)
from training.statistics.rates import Scores, wilson
from training.statistics.resampling import Owners

PEOPLE, PICTURES = 14, 5


def impostors() -> tuple[Scores, Owners, Owners]:
    """All pairs of pictures of fourteen people; some people look more alike than others."""
    draws = np.random.default_rng(0)
    owner = np.repeat(np.arange(PEOPLE), PICTURES)
    left, right = np.triu_indices(len(owner), 1)
    left, right = left[owner[left] != owner[right]], right[owner[left] != owner[right]]
    alike = draws.normal(0, 1, (PEOPLE, PEOPLE))[owner[left], owner[right]]
    return 1 / (1 + np.exp(-(alike + draws.normal(0, 0.5, len(left))))), owner[left], owner[right]


def test_threshold_is_the_lowest_that_keeps_the_rate() -> None:
    scores, left, right = impostors()
    points = operating_points(scores, left, right, "held")
    assert [(point.name, point.max_fmr) for point in points] == [
        ("fmr_1e-1", 0.1),
        ("fmr_1e-2", 0.01),
        ("fmr_1e-3", 0.001),
    ]
    for point in points:
        assert point.fmr == sum(score >= point.threshold for score in scores) / len(scores) <= point.max_fmr
        lower = max(score for score in scores if score < point.threshold)
        assert sum(score >= lower for score in scores) / len(scores) > point.max_fmr
        assert (point.pairs, point.people, point.split) == (len(scores), PEOPLE, "held")
        assert point.interval[0] <= point.fmr <= point.interval[1]
    assert sorted(point.threshold for point in points) == [point.threshold for point in points]


@pytest.mark.parametrize(
    ("scores", "max_fmr", "expected"),
    [
        ([0.1, 0.2, 0.3, 0.4], 0.5, 0.25),
        ([0.1, 0.2, 0.3, 0.4], 0.25, 0.35),
        ([0.1, 0.2, 0.3, 0.4], 0.1, 0.7),
        ([0.1, 0.3, 0.3, 0.3], 0.5, 0.65),
        ([0.1, 0.3, 0.3, 0.5], 0.5, 0.4),
        ([0.1, 1.0], 0.1, None),
        ([0.1, 0.2], 1.0, 0.0),
    ],
)
def test_threshold_lies_between_two_scores(scores: list[float], max_fmr: float, expected: float | None) -> None:
    assert lowest_threshold(np.array(scores), max_fmr) == pytest.approx(expected)


def test_threshold_of_adjacent_floats_is_the_higher() -> None:
    higher = float(np.nextafter(0.5, 1))
    assert lowest_threshold(np.array([0.1, 0.5, higher]), 0.4) == higher


def test_rates_below_one_pair_have_no_point() -> None:
    scores, left, right = impostors()
    names = [point.name for point in operating_points(scores[::20], left[::20], right[::20], "held")]
    assert names == ["fmr_1e-1", "fmr_1e-2"]


def test_interval_equals_a_narrowed_slow_bootstrap() -> None:
    scores, left, right = impostors()
    accepted = scores >= 0.8
    rate = accepted.mean()
    draws = np.random.default_rng(0).multinomial(PEOPLE, [1 / PEOPLE] * PEOPLE, 1000)
    rates = []
    for counts in draws[:1000]:
        weights = counts[left] * counts[right]
        rates.append((weights * accepted).sum() / weights.sum())
    excess: dict[tuple[int, int], float] = {}
    for a, b, hit in zip(left.tolist(), right.tolist(), accepted.tolist(), strict=True):
        pair = (min(a, b), max(a, b))
        excess[pair] = excess.get(pair, 0.0) + hit - rate
    wanted = sum(excess[one] * excess[two] for one in excess for two in excess if set(one) & set(two))
    squares = sum(each**2 for each in excess.values())
    narrowing = np.sqrt(wanted / (wanted + 2 * squares))  # drawn, each pair's own square counts three times
    expected = rate + narrowing * (np.percentile(rates, [2.5, 97.5]) - rate)
    assert rate_interval(accepted, left, right) == pytest.approx(tuple(expected))


def test_interval_without_shared_people_is_that_of_independent_pairs() -> None:
    left, right = np.arange(0, 1200, 2), np.arange(1, 1200, 2)
    accepted = np.arange(600) % 20 == 0
    low, high = rate_interval(accepted, left, right)
    independent = wilson(int(accepted.sum()), 600)
    assert high - low == pytest.approx(independent.high - independent.low, rel=0.12)


@pytest.mark.parametrize("accepted_pairs", [0, 1, 600])
def test_interval_is_at_least_as_wide_as_for_independent_pairs(
    accepted_pairs: int,
) -> None:
    left, right = np.arange(0, 1200, 2), np.arange(1, 1200, 2)
    low, high = rate_interval(np.arange(600) < accepted_pairs, left, right)
    independent = wilson(accepted_pairs, 600)
    assert low <= independent.low
    assert high >= independent.high


def test_interval_with_shared_people_is_wider() -> None:
    scores, left, right = impostors()
    accepted = scores >= 0.8
    low, high = rate_interval(accepted, left, right)
    rate = accepted.mean()
    assert high - low > 1.5 * 2 * 1.96 * float(np.sqrt(rate * (1 - rate) / len(scores)))


def test_curve_has_the_rate_at_each_threshold() -> None:
    scores, left, right = impostors()
    scores = np.round(scores, 2)  # many ties
    curve = false_match_curve(scores, left, right, "held")
    assert curve
    assert curve.rates == tuple(float((scores >= threshold).mean()) for threshold in curve.thresholds)
    assert (curve.rates[0], curve.rates[-1]) == (1.0, float((scores == scores.max()).mean()))
    assert (curve.pairs, curve.people) == (len(scores), PEOPLE)


def test_curve_of_two_scores_has_two_points() -> None:
    people = np.array([0, 0]), np.array([1, 2])
    curve = false_match_curve(np.array([0.2, 0.7]), *people, "held")
    assert curve
    assert false_match_curve(np.array([0.2, 0.2]), *people, "held") is None
    assert (curve.thresholds, curve.rates) == ((0.2, 0.7), (1.0, 0.5))


def everybody(people: int) -> tuple[Owners, Owners]:
    """All pairs of two people."""
    left, right = np.triu_indices(people, 1)
    return left.astype(np.int64), right.astype(np.int64)


@pytest.mark.parametrize(("people", "names"), [(14, []), (15, ["fmr_1e-1"]), (45, ["fmr_1e-1"]), (200, list(WANTED))])
def test_points_need_ten_false_matches_over_pairs_of_people(people: int, names: list[str]) -> None:
    left, right = everybody(people)
    scores = np.random.default_rng(0).permutation(len(left)) / len(left)
    kept, refused = supported(operating_points(scores, left, right, "held"), left, right)
    assert [point.name for point in kept] == names
    assert [*names, *refused] == list(WANTED)


def test_pictures_of_the_same_people_do_not_replace_people() -> None:
    left, right = (np.repeat(side, 100) for side in everybody(14))
    scores = np.random.default_rng(0).permutation(len(left)) / len(left)
    kept, refused = supported(operating_points(scores, left, right, "held"), left, right)
    assert kept == ()
    assert refused["fmr_1e-1"] == (
        "a rate of 0.1 needs 100 pairs of two people, which 15 people give; there are 14 people in 91 pairs"
    )


def test_point_whose_interval_reaches_twice_the_rate_is_refused() -> None:
    """All false matches are of one person, so that with others there could be many more."""
    left, right = everybody(60)
    scores = np.where(left == 0, 0.9, 0.1) + np.random.default_rng(0).permutation(len(left)) / len(left) / 100
    kept, refused = supported(operating_points(scores, left, right, "held"), left, right)
    assert "fmr_1e-2" not in [point.name for point in kept]
    assert "a rate of 0.01 could in truth be" in refused["fmr_1e-2"]
    assert refused["fmr_1e-2"].endswith("more than 2 times as much; add people (60 now)")


def test_rate_that_no_threshold_keeps_is_refused() -> None:
    left, right = everybody(60)
    kept, refused = supported(operating_points(np.ones(len(left)), left, right, "held"), left, right)
    assert kept == ()
    assert refused["fmr_1e-2"] == "no threshold up to 1 keeps a rate of 0.01; too many similarities are equal"


@pytest.mark.parametrize(("max_fmr", "people"), [(0.1, 15), (0.01, 46), (0.001, 142)])
def test_people_for_a_rate_have_enough_pairs(max_fmr: float, people: int) -> None:
    assert people_for(max_fmr) == people
    assert (people - 1) * (people - 2) / 2 * max_fmr < 10 <= people * (people - 1) / 2 * max_fmr


def test_measured_again_keeps_thresholds_and_measures_their_rates() -> None:
    left, right = everybody(20)
    scores = np.arange(190) / 190
    points = operating_points(scores, left, right, "held")
    again = measured_again(points, scores / 2, left, right, "others")
    assert [point.threshold for point in again] == [point.threshold for point in points]
    assert [point.fmr for point in again] == [float((scores / 2 >= point.threshold).mean()) for point in points]
    assert {(point.split, point.pairs, point.people) for point in again} == {("others", 190, 20)}
