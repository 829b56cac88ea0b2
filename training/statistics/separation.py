"""How far a network's scores keep genuine pairs from impostor pairs, over people.

N people with two pictures each, D embedding, R rounds
"""

import numpy as np
from numpy.typing import NDArray

from training.statistics.resampling import draw_people

Rows = NDArray[np.float64]


def d_primes(left: Rows, right: Rows) -> Rows:
    """d' of each person's two embeddings of length 1, (N, D) and (N, D): of all people, then of R draws of people.

    float64 (1 + R,). d' is the distance between the mean cosines of genuine and of impostor pairs, in their common
    deviation (Green and Swets 1966). Equal numbers of people give equal draws, so that two ways to embed the same
    pictures can be compared draw by draw.
    """
    genuine = (left * right).sum(1)
    tables = np.stack([one @ other.T for one in (left, right) for other in (left, right)])
    first, second = tables.sum(0), (tables**2).sum(0)
    apart = 1.0 - np.eye(len(left))
    weights = np.concatenate([np.ones((1, len(left))), draw_people(len(left))])

    def over_impostors(table: Rows) -> Rows:
        return np.asarray(((weights @ (table * apart)) * weights).sum(1))

    count = weights.sum(1)
    mean, mean_impostor = weights @ genuine / count, over_impostors(first) / over_impostors(np.full_like(apart, 4.0))
    spread = weights @ genuine**2 / count - mean**2
    spread_impostor = over_impostors(second) / over_impostors(np.full_like(apart, 4.0)) - mean_impostor**2
    return np.asarray((mean - mean_impostor) / np.sqrt(((spread + spread_impostor) / 2).clip(1e-12)))
