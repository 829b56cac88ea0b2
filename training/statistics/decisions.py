"""Right and wrong decisions: the pairs furthest from and closest to the threshold, and whether two runs differ."""

from dataclasses import dataclass
from math import comb

import numpy as np

from training.statistics import rates


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """Indices of pairs of one kind; the surest are furthest from the threshold, the narrowest closest to it."""

    right: bool
    same: bool
    surest: bool
    indices: list[int]

    @property
    def title(self) -> str:
        people = "one person" if self.same else "two people"
        return f"{'right' if self.right else 'wrong'}, {people}, {'surest' if self.surest else 'narrowest'}"


def hardest(scores: rates.Scores, same: rates.Labels, threshold: float, count: int) -> list[Ranked]:
    """Up to `count` pairs of each of the eight kinds; the wrong decisions first."""
    margins = np.abs(scores - threshold)
    right = (scores >= threshold) == same
    kinds = []
    for verdict in (False, True):
        for of_one in (True, False):
            found = np.flatnonzero((right == verdict) & (same == of_one))
            ordered = found[np.argsort(margins[found], kind="stable")]
            for surest in (True, False):
                indices = (ordered[::-1] if surest else ordered)[:count].tolist()
                kinds.append(Ranked(right=verdict, same=of_one, surest=surest, indices=indices))
    return kinds


@dataclass(frozen=True, kw_only=True)
class McNemar:
    """How many pairs only the first run decides correctly, how many only the second, and the two-sided p-value.

    The p-value is exact for pairs that share no people, and a little too low if they do.
    """

    pairs: int
    first_only: int
    second_only: int
    p_value: float


def mcnemar(first_right: rates.Labels, second_right: rates.Labels) -> McNemar:
    """Which pairs each run decides correctly, bool (P,) -> the exact binomial form of the test (McNemar 1947)."""
    first, second = int((first_right & ~second_right).sum()), int((second_right & ~first_right).sum())
    apart = first + second
    tail = sum(comb(apart, k) for k in range(min(first, second) + 1))
    p_value = min(1.0, 2 * tail / 2**apart)
    return McNemar(pairs=len(first_right), first_only=first, second_only=second, p_value=p_value)
