"""d' over draws of people, compared with slow loops over pairs."""

from itertools import combinations

import numpy as np
import pytest

from training.statistics.resampling import draw_people
from training.statistics.separation import d_primes


def unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def slow_d_prime(left: np.ndarray, right: np.ndarray, drawn: np.ndarray) -> float:
    """Each person occurs as often as drawn; pairs of one person's copies do not count."""
    people = np.repeat(np.arange(len(left)), drawn)
    genuine = [left[person] @ right[person] for person in people]
    impostor = [
        one[a] @ other[b]
        for a, b in combinations(people, 2)
        if a != b
        for one in (left, right)
        for other in (left, right)
    ]
    return float((np.mean(genuine) - np.mean(impostor)) / np.sqrt((np.var(genuine) + np.var(impostor)) / 2))


def test_d_primes_equal_those_of_loops_over_pairs() -> None:
    draws = np.random.default_rng(0)
    base = draws.normal(size=(7, 5))
    left, right = (unit(base + 0.4 * draws.normal(size=base.shape)) for _ in range(2))
    found = d_primes(left, right)
    weights = draw_people(7)
    assert found.shape == (1 + len(weights),)
    assert found[0] == pytest.approx(slow_d_prime(left, right, np.ones(7, int)))
    for number in range(5):
        assert found[1 + number] == pytest.approx(slow_d_prime(left, right, weights[number]))


def test_the_same_people_give_the_same_draws() -> None:
    """So that two ways to embed can be compared draw by draw: turned embeddings have the same cosines."""
    draws = np.random.default_rng(1)
    left, right = unit(draws.normal(size=(20, 6))), unit(draws.normal(size=(20, 6)))
    turn = np.linalg.qr(draws.normal(size=(6, 6)))[0]
    assert np.allclose(d_primes(left, right), d_primes(left @ turn, right @ turn))


def test_embeddings_without_spread_give_finite_values() -> None:
    same = unit(np.ones((10, 4)))
    assert np.isfinite(d_primes(same, same)).all()
