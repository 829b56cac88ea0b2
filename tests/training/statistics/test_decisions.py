"""McNemar's test against a count of all coin tosses, and the pairs that are decided most and least surely."""

from itertools import product

import numpy as np
import pytest

from training.statistics.decisions import hardest, mcnemar


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (0, 5), (3, 9), (7, 7)])
def test_mcnemar_equals_counting_all_outcomes(first: int, second: int) -> None:
    right = np.array([True] * (first + 4) + [False] * (second + 2))
    other = np.array([False] * first + [True] * (second + 4) + [False] * 2)
    found = mcnemar(right, other)
    tosses = list(product([0, 1], repeat=first + second))
    least = abs(first - second)
    as_far = sum(abs(2 * sum(toss) - first - second) >= least for toss in tosses)
    assert (found.pairs, found.first_only, found.second_only) == (len(right), first, second)
    assert found.p_value == pytest.approx(as_far / len(tosses))


def test_mcnemar_handles_many_pairs() -> None:
    """1,000 pairs against the normal approximation with its correction of continuity."""
    right, other = np.arange(1000) < 900, np.arange(1000) >= 250
    found = mcnemar(right, other)
    assert (found.first_only, found.second_only) == (250, 100)
    assert 0 < found.p_value < 1e-14


def test_hardest_pairs_are_sorted_by_their_margin() -> None:
    scores = np.array([0.9, 0.8, 0.6, 0.4, 0.1, 0.55, 0.2])
    same = np.array([True, False, True, True, True, False, False])
    found = {kind.title: kind.indices for kind in hardest(scores, same, 0.5, 2)}
    assert found["right, one person, surest"] == [0, 2]
    assert found["right, one person, narrowest"] == [2, 0]
    assert found["wrong, one person, surest"] == [4, 3]
    assert found["wrong, one person, narrowest"] == [3, 4]
    assert found["wrong, two people, surest"] == [1, 5]
    assert found["right, two people, narrowest"] == [6]
