"""Which pairs are the surest and the narrowest, rightly and wrongly decided.

P pairs
"""

from dataclasses import dataclass

import numpy as np

from training.statistics.rates import Labels, Scores


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """The indices of the surest or the narrowest pairs that are of one person or two and decided rightly or not."""

    right: bool
    same: bool
    surest: bool
    indices: list[int]

    @property
    def title(self) -> str:
        """The kind in words."""
        people = "one person" if self.same else "two people"
        return f"{'right' if self.right else 'wrong'}, {people}, {'surest' if self.surest else 'narrowest'}"


def hardest(scores: Scores, same: Labels, threshold: float, count: int) -> list[Ranked]:
    """`count` pairs of each of the eight kinds, or as many as there are; the wrong ones first."""
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
