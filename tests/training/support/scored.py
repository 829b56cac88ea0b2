"""Scored pairs for the tests of metrics, and slow loops that count what the metrics are computed from."""

import math
from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st

from training.statistics.rates import Labels, Scores, Tallies
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


def of_tallies(statistic: OfPairs) -> Statistic:
    """A statistic of single pairs as one of tallies, whose pairs are listed one by one."""

    def of_listed(tallies: Tallies) -> Scores:
        found = []
        for counts in zip(tallies.genuine, tallies.impostor, strict=True):
            genuine, impostor = (np.repeat(tallies.scores, of_kind) for of_kind in counts)
            same = np.arange(len(genuine) + len(impostor)) < len(genuine)
            found.append(statistic(np.concatenate([genuine, impostor]), same))
        return np.array(found)

    return of_listed
