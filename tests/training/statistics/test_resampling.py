"""Intervals over pairs and over people, against slow loops."""

import numpy as np
import pytest

from tests.training.support.scored import OfPairs, of_tallies
from training.metrics import ACCURACY_AT_THRESHOLD, AREA, EER, FNMR_AT_1, find_metric
from training.statistics.rates import Estimate, Labels, Scores, area_under_roc, equal_error_rate, fnmr_at_fmr
from training.statistics.resampling import (
    Owners,
    bootstrap,
    bootstrap_over_people,
    draw_people,
    numbered,
    pair_weights,
    resampled,
)
from training.statistics.summary import WITHOUT_THRESHOLD, measure

PEOPLE, PICTURES = 12, 4


def over_people(statistic: OfPairs, *pairs: *tuple[Scores, Labels, Owners, Owners]) -> Estimate:
    """The estimate of one statistic of single pairs."""
    return bootstrap_over_people({"it": of_tallies(statistic)}, *pairs)["it"]


def over_pairs(statistic: OfPairs, scores: Scores, same: Labels) -> Estimate:
    return bootstrap({"it": of_tallies(statistic)}, scores, same)["it"]


def scored() -> tuple[Scores, Labels, Owners, Owners]:
    """All pairs of pictures of twelve people; some people are easy, some are not."""
    draws = np.random.default_rng(0)
    owner = np.repeat(np.arange(PEOPLE), PICTURES)
    rows, columns = np.triu_indices(len(owner), 1)
    left, right = owner[rows], owner[columns]
    same = left == right
    ease = draws.normal(0, 1, PEOPLE)[left] * np.where(same, 1, -1)
    return 1 / (1 + np.exp(-(ease + np.where(same, 1, -1) + draws.normal(0, 0.5, len(left))))), same, left, right


def share_right(scores: Scores, same: Labels) -> float:
    return float(((scores >= 0.5) == same).mean())


def test_names_are_numbered_by_person() -> None:
    left, right = numbered([("Eve/Eve_0001", "Ada/Ada_0002"), ("Bob/b", "Bob/c"), ("Ada/Ada_0001", "Eve/Eve_0003")])
    assert (left.tolist(), right.tolist()) == ([2, 1, 0], [0, 1, 2])


def test_pair_weight_is_the_product_of_its_peoples_draws() -> None:
    drawn = np.array([[2, 0, 1, 3]])
    left, right = np.array([0, 0, 0, 3, 1]), np.array([0, 3, 1, 3, 1])
    assert pair_weights(drawn, left, right).tolist() == [[2, 6, 0, 3, 0]]


def test_interval_equals_a_slow_bootstrap() -> None:
    scores, same, left, right = scored()
    found = bootstrap_over_people(WITHOUT_THRESHOLD, scores, same, left, right)[EER]
    values = []
    for drawn in np.random.default_rng(0).multinomial(PEOPLE, [1 / PEOPLE] * PEOPLE, 1000).tolist():
        chosen = []
        for pair, (a, b) in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
            chosen += [pair] * (drawn[a] if a == b else drawn[a] * drawn[b])
        values.append(equal_error_rate(scores[chosen], same[chosen]))
    value = equal_error_rate(scores, same)
    assert found.value == value
    low, high = np.percentile(values, [2.5, 97.5])
    # Every pair is one of many of its people, so that little is taken off.
    narrowed = (found.high - found.low) / (high - low)
    assert 0.9 < narrowed < 1
    assert [found.low, found.high] == pytest.approx(
        [value - narrowed * (value - low), value + narrowed * (high - value)]
    )


def test_rounds_equal_those_of_single_pairs() -> None:
    """To the bit, so that no reported interval changes with how it is computed."""
    scores, same, _, _ = scored()
    scores = scores.round(2)  # with ties
    draws, genuine, impostor = np.random.default_rng(0), np.flatnonzero(same), np.flatnonzero(~same)
    expected: dict[str, list[float]] = {AREA: [], EER: [], FNMR_AT_1: []}
    for _ in range(1000):
        chosen = np.concatenate([draws.choice(genuine, len(genuine)), draws.choice(impostor, len(impostor))])
        expected[AREA].append(area_under_roc(scores[chosen], same[chosen]))
        expected[EER].append(equal_error_rate(scores[chosen], same[chosen]))
        expected[FNMR_AT_1].append(fnmr_at_fmr(scores[chosen], same[chosen], 0.01))
    found = resampled(WITHOUT_THRESHOLD, scores, same)
    assert {name: values.tolist() for name, values in found.items()} == expected


def listed(pairs: int, people: int) -> tuple[Scores, Labels, Owners, Owners]:
    """A list of pairs, half of them of one person; people are drawn for it, half of them easier than the others."""
    draws = np.random.default_rng(3)
    same = np.arange(2 * pairs) < pairs
    left, right = draws.integers(0, people, (2, 2 * pairs))
    right = np.where(same, left, (left + 1 + right % (people - 1)) % people)
    ease = draws.permutation(np.arange(people) % 2)
    wrong = draws.random(2 * pairs) < 0.05 + 0.3 * ease[left] * ease[right]
    return np.where(same != wrong, 0.9, 0.1), same, left, right


def test_interval_of_pairs_without_shared_people_is_that_over_pairs() -> None:
    scores, same, _, _ = listed(300, 40)
    left = np.arange(600)
    right = np.where(same, left, left + 600)
    for statistic in (share_right, area_under_roc):
        people, pairs = (
            over_people(statistic, scores, same, left, right), over_pairs(statistic, scores, same)
        )  # fmt: skip
        assert people.high - people.low == pytest.approx(pairs.high - pairs.low, rel=0.12)


@pytest.mark.parametrize("people", [40, 150, 1000])
def test_variance_is_that_of_pairs_that_share_people(people: int) -> None:
    scores, same, left, right = listed(300, people)
    summary = measure("test", scores, same, 0.5, people=(left, right))
    low, high = find_metric(summary.over_people, ACCURACY_AT_THRESHOLD).interval or (0, 0)
    correct = (scores >= 0.5) == same
    parts = (correct - np.where(same, correct[same].mean(), correct[~same].mean())) / len(correct)
    shares = (left[:, None] == left) | (left[:, None] == right) | (right[:, None] == left) | (right[:, None] == right)
    deviation = np.sqrt((parts[:, None] * parts * shares).sum())
    assert high - low == pytest.approx(2 * 1.96 * deviation, rel=0.12)


def test_interval_over_people_is_wider_than_over_pairs() -> None:
    scores, same, left, right = scored()
    people = over_people(share_right, scores, same, left, right)
    pairs = over_pairs(share_right, scores, same)
    assert people.value == pairs.value
    assert people.high - people.low > 1.5 * (pairs.high - pairs.low)


def couples(apart: int) -> tuple[Scores, Labels, Owners, Owners]:
    """Eight couples of strangers, each with twenty pairs, and a pair of each person alone.

    Of a couple's pairs 10 + apart score 0.9 or as many 0.1, in turn.
    """
    couple = np.repeat(np.arange(8), 20)
    high = np.tile(np.arange(20), 8) < 10 + apart * np.where(couple % 2, 1, -1)
    alone = np.arange(16)
    left, right = np.concatenate([2 * couple, alone]), np.concatenate([2 * couple + 1, alone])
    return np.where(np.concatenate([high, alone >= 0]), 0.9, 0.1), left == right, left, right


def share_of_strangers(scores: Scores, same: Labels) -> float:
    return float((scores[~same] >= 0.5).mean())


@pytest.mark.parametrize(("apart", "narrowed"), [(1, False), (2, True)])
def test_interval_is_narrowed_at_most_to_that_of_independent_pairs(apart: int, narrowed: bool) -> None:
    scores, same, left, right = couples(apart)
    found = over_people(share_of_strangers, scores, same, left, right)
    rounds = [np.repeat(np.arange(len(same)), counts) for counts in pair_weights(draw_people(16), left, right)]
    values = [share_of_strangers(scores[chosen], same[chosen]) for chosen in rounds if not same[chosen].all()]
    alone = resampled({"it": of_tallies(share_of_strangers)}, scores, same, impostors_alone=True)["it"]
    deviations = np.std(alone) / np.std(values)
    assert (1 / 3 < deviations**2 < 1) == narrowed
    low, high = np.percentile(values, [2.5, 97.5]) - found.value
    share = deviations if narrowed else 1
    assert [found.low - found.value, found.high - found.value] == pytest.approx([share * low, share * high])


def test_rounds_with_one_kind_of_pair_are_skipped() -> None:
    """Of three people only one has two pictures, and in many rounds that one is not drawn."""
    left, right = np.array([0, 0, 1]), np.array([0, 1, 2])
    found = over_people(share_right, np.array([0.9, 0.1, 0.2]), left == right, left, right)
    assert (found.low, found.value, found.high) == (1, 1, 1)
