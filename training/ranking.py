"""Which pairs are the surest and the narrowest, rightly and wrongly decided.

P pairs
"""

import numpy as np

from training.evaluation import Labels, Scores


def hardest(scores: Scores, same: Labels, threshold: float, count: int) -> dict[str, list[int]]:
    """Indices of pairs by kind: right or wrong, of one person or two, surest or narrowest; `count` of each."""
    margins = np.abs(scores - threshold)
    right = (scores >= threshold) == same
    kinds = {}
    for verdict, wanted in (("wrong", ~right), ("right", right)):
        for label, of in (("one person", same), ("two people", ~same)):
            found = np.flatnonzero(wanted & of)
            ordered = found[np.argsort(margins[found], kind="stable")]
            kinds[f"{verdict}, {label}, surest"] = ordered[::-1][:count].tolist()
            kinds[f"{verdict}, {label}, narrowest"] = ordered[:count].tolist()
    return kinds
