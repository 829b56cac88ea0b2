"""Scored pairs for the tests of metrics, and slow loops that count what the metrics are computed from."""

import math
from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st

from training.statistics.rates import Labels, Scores, Tally
from training.statistics.resampling import Statistic

Pairs = tuple[Scores, Labels]
OfPairs = Callable[[Scores, Labels], float]


@st.composite
def scored_pairs(draw: st.DrawFn) -> Pairs:
    """Scores on a coarse grid, so that ties and exact halves are common; at least one pair of each kind."""
    labels = [True, False, *draw(st.lists(st.booleans(), max_size=30))]
    scores = draw(st.lists(st.integers(0, 16), min_size=len(labels), max_size=len(labels)))
    return np.array(scores) / 16, np.array(labels)


def right_at(scores: Scores, same: Labels, threshold: float) -> int:
    right = 0
    for score, genuine in zip(scores, same, strict=True):
        accepted = score >= threshold
        right += accepted == genuine
    return int(right)


def rates_at(scores: Scores, same: Labels, threshold: float) -> tuple[float, float]:
    """FMR and FNMR, counted."""
    impostors = [score for score, genuine in zip(scores, same, strict=True) if not genuine]
    genuines = [score for score, genuine in zip(scores, same, strict=True) if genuine]
    accepted = sum(score >= threshold for score in impostors)
    rejected = sum(score < threshold for score in genuines)
    return accepted / len(impostors), rejected / len(genuines)


def thresholds(scores: Scores) -> list[float]:
    """One for each set of decisions that there is, the strictest first."""
    return [math.inf, *sorted(set(scores.tolist()), reverse=True)]


def of_tally(statistic: OfPairs) -> Statistic:
    """A statistic of single pairs as one of a tally, whose pairs are listed one by one."""

    def of_listed(tally: Tally) -> float:
        genuine, impostor = (np.repeat(tally.scores, counts) for counts in (tally.genuine, tally.impostor))
        return statistic(np.concatenate([genuine, impostor]), np.arange(len(genuine) + len(impostor)) < len(genuine))

    return of_listed
