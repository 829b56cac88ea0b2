"""Bootstrap intervals for statistics of pairs: over pairs, or over people if pairs share people.

M people, R rounds
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from training.statistics import rates

BOOTSTRAP_ROUNDS = 1000
BOOTSTRAP_SEED = 0

# (P,): for each pair, the number from 0 of the person in its left, or in its right, picture.
Owners = NDArray[np.int64]
Statistic = Callable[[rates.Scores, rates.Labels], float]


def bootstrap(statistic: Statistic, scores: rates.Scores, same: rates.Labels) -> rates.Estimate:
    """A statistic with its percentile interval (Efron 1979); genuine and impostor pairs are resampled separately."""
    low, high = np.percentile(resampled(statistic, scores, same), [2.5, 97.5])
    return rates.Estimate(value=statistic(scores, same), low=float(low), high=float(high))


def resampled(
    statistic: Statistic, scores: rates.Scores, same: rates.Labels, *, impostors_alone: bool = False
) -> list[float]:
    """The statistic in each round: impostor pairs are drawn with replacement, genuine ones too or kept as they are."""
    draws = np.random.default_rng(BOOTSTRAP_SEED)
    genuine, impostor = np.flatnonzero(same), np.flatnonzero(~same)
    values = []
    for _ in range(BOOTSTRAP_ROUNDS):
        drawn = genuine if impostors_alone else draws.choice(genuine, len(genuine))
        chosen = np.concatenate([drawn, draws.choice(impostor, len(impostor))])
        values.append(statistic(scores[chosen], same[chosen]))
    return values


def numbered(names: Sequence[tuple[str, str]]) -> tuple[Owners, Owners]:
    """The pictures PERSON/FILE of P pairs -> the numbers from 0 of the people in them, left and right, int64 (P,)."""
    people = [[picture.partition("/")[0] for picture in pair] for pair in names]
    numbers = np.unique(np.array(people), return_inverse=True)[1].reshape(-1, 2).astype(np.int64)
    return numbers[:, 0], numbers[:, 1]


def draw_people(people: int) -> NDArray[np.int64]:
    """(R, M): how often each person is drawn in each round, with M draws per round."""
    return np.random.default_rng(BOOTSTRAP_SEED).multinomial(people, [1 / people] * people, BOOTSTRAP_ROUNDS)


def pair_weights(drawn: NDArray[np.int64], left: Owners, right: Owners) -> NDArray[np.int64]:
    """How often people are drawn (R, M), and the people in P pairs -> each pair's weight (R, P).

    The weight of an impostor pair is the product of both people's draws, of a genuine pair its person's draws.
    """
    return np.where(left == right, drawn[:, left], drawn[:, left] * drawn[:, right])


def bootstrap_over_people(
    statistic: Statistic, scores: rates.Scores, same: rates.Labels, left: Owners, right: Owners
) -> rates.Estimate:
    """A statistic of pairs with its 95% percentile interval (Efron 1979) over people; all arguments (P,).

    Drawing people (pigeonhole bootstrap, Owen 2007) counts the variance of each impostor pair three times: its weight
    is a product of two random counts, and varies with either and with both. So twice the variance from resampling only
    these pairs is subtracted, but at least that variance is kept, and the interval is scaled to the rest. This is the
    variance of pairs that depend on each other if they share a person (Aronow, Samii and Assenova 2015), and of
    independent pairs if they share no people.

    Rounds without genuine pairs or without impostor pairs are left out.
    """
    value = statistic(scores, same)
    every, values = np.arange(len(scores)), []
    for weights in pair_weights(draw_people(int(max(left.max(), right.max())) + 1), left, right):
        chosen = np.repeat(every, weights)
        if 0 < same[chosen].sum() < len(chosen):
            values.append(statistic(scores[chosen], same[chosen]))
    counted = np.var(values)
    of_impostors = np.var(resampled(statistic, scores, same, impostors_alone=True))
    narrowed = np.sqrt(max(counted - 2 * of_impostors, of_impostors) / counted) if counted else 1.0
    low, high = value + min(narrowed, 1.0) * (np.percentile(values, [2.5, 97.5]) - value)
    return rates.Estimate(value=value, low=float(low), high=float(high))
