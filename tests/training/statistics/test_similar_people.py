"""The false match rate over most similar strangers, against a loop over people, and on scores without any structure."""

import numpy as np
import pytest

from model.similarity import similarity
from training.statistics.similar_people import MIN_PEOPLE, similar_strangers

PEOPLE, PICTURES = 41, 4
THRESHOLDS = (0.3, 0.5, 0.9)
OWNER = np.repeat(np.arange(PEOPLE), PICTURES)


def symmetric(values: np.ndarray) -> np.ndarray:
    return np.asarray((values + values.T) / 2, np.float32)


def test_rate_is_that_over_the_twentieth_of_most_similar_people() -> None:
    alike = symmetric(np.random.default_rng(0).normal(-1, 2, (PEOPLE, PEOPLE)))
    found = similar_strangers(alike[np.ix_(OWNER, OWNER)], OWNER, THRESHOLDS)
    assert found
    for threshold, rate in zip(THRESHOLDS, found, strict=True):
        of_people = []
        for person in range(PEOPLE):
            others = sorted((alike[person, other] for other in range(PEOPLE) if other != person), reverse=True)
            nearest = similarity(np.array(others[: (PEOPLE - 1) // 20], np.float64))
            of_people.append(np.mean([each >= threshold for each in nearest]))
        assert rate.value == pytest.approx(np.mean(of_people))
        assert rate.low <= rate.value <= rate.high
        spread = 1.96 * np.std(of_people) / np.sqrt(PEOPLE)
        assert (rate.low, rate.high) == pytest.approx((rate.value - spread, rate.value + spread), abs=0.03)


def test_no_pair_is_chosen_by_its_own_score() -> None:
    """Without people who look alike, the most similar ones are accepted as often as all others."""
    noise = symmetric(np.random.default_rng(1).normal(0, 2, (len(OWNER), len(OWNER))))
    found = similar_strangers(noise, OWNER, THRESHOLDS)
    assert found
    strangers = OWNER[:, None] != OWNER
    for threshold, rate in zip(THRESHOLDS, found, strict=True):
        every = (similarity(noise[strangers].astype(np.float64)) >= threshold).mean()
        assert rate.low <= every <= rate.high
        assert rate.value == pytest.approx(every, abs=0.06)


def test_people_with_one_picture_do_not_count() -> None:
    alike = symmetric(np.random.default_rng(2).normal(0, 1, (PEOPLE, PEOPLE)))
    owner = np.concatenate([OWNER, np.arange(PEOPLE, PEOPLE + 5)])
    logits = np.full((len(owner), len(owner)), 9, np.float32)
    logits[: len(OWNER), : len(OWNER)] = alike[np.ix_(OWNER, OWNER)]
    assert similar_strangers(logits, owner, THRESHOLDS) == similar_strangers(
        alike[np.ix_(OWNER, OWNER)], OWNER, THRESHOLDS
    )


@pytest.mark.parametrize(("people", "measured"), [(MIN_PEOPLE - 1, False), (MIN_PEOPLE, True)])
def test_few_people_have_no_most_similar_twentieth(people: int, measured: bool) -> None:
    owner = np.repeat(np.arange(people), 2)
    found = similar_strangers(np.zeros((len(owner), len(owner)), np.float32), owner, (0.5,))
    assert (found is not None) == measured
