"""Whether two runs differ on the same pairs by more than chance: McNemar's test.

P pairs
"""

from dataclasses import dataclass
from math import comb

import numpy as np

from training.runs.read import Run
from training.statistics.rates import Labels


@dataclass(frozen=True, kw_only=True)
class McNemar:
    """Over `pairs` pairs: how many only the first run has right, how many only the second, and the two-sided p-value.

    The p-value is exact, and that of pairs that share nobody; where pairs share people it is a little too low.
    """

    pairs: int
    first_only: int
    second_only: int
    p_value: float


def mcnemar(first_right: Labels, second_right: Labels) -> McNemar:
    """Which of P pairs each run has right, bool (P,) -> the exact binomial form of the test (McNemar 1947)."""
    first, second = int((first_right & ~second_right).sum()), int((second_right & ~first_right).sum())
    apart = first + second
    tail = sum(comb(apart, k) for k in range(min(first, second) + 1))
    p_value = min(1.0, 2 * tail / 2**apart)
    return McNemar(pairs=len(first_right), first_only=first, second_only=second, p_value=p_value)


def compare_runs(first: Run, second: Run) -> McNemar | None:
    """Each at its own threshold, over the test pairs that both scored; None if there are none."""
    ours, theirs = _right(first), _right(second)
    both = sorted(ours.keys() & theirs.keys())
    if not both:
        return None
    return mcnemar(np.array([ours[pair] for pair in both]), np.array([theirs[pair] for pair in both]))


def _right(run: Run) -> dict[tuple[str, str], bool]:
    """Whether each pair is decided rightly, by the names of its pictures in alphabetical order."""
    right = (run.scores >= run.header.threshold.value) == run.same
    names = [(min(pair), max(pair)) for pair in run.pairs]
    return dict(zip(names, right.tolist(), strict=True))
