"""Bootstrap intervals for statistics of pairs: over pairs, or over people if pairs share people.

M people, R rounds
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from training.statistics import rates

BOOTSTRAP_ROUNDS = 1000
BOOTSTRAP_SEED = 0

# (P,): for each pair, the number from 0 of the person in its left, or in its right, picture.
Owners = NDArray[np.int64]
# Of R samples: (R,).
Statistic = Callable[[rates.Tallies], rates.Scores]
Statistics = Mapping[str, Statistic]
# Samples are made together while their counts are so few.
MOST_COUNTS = 2**18


def bootstrap(statistics: Statistics, scores: rates.Scores, same: rates.Labels) -> dict[str, rates.Estimate]:
    """Statistics with percentile intervals (Efron 1979); genuine and impostor pairs are resampled separately."""
    whole, estimates = rates.Tallies.of(scores, same), {}
    for name, values in resampled(statistics, scores, same).items():
        low, high = np.percentile(values, [2.5, 97.5])
        estimates[name] = rates.Estimate(value=float(statistics[name](whole)[0]), low=float(low), high=float(high))
    return estimates


def resampled(
    statistics: Statistics, scores: rates.Scores, same: rates.Labels, *, impostors_alone: bool = False
) -> dict[str, rates.Scores]:
    """Each statistic in each round (R,): impostor pairs are drawn with replacement, genuine ones too or kept."""
    draws = np.random.default_rng(BOOTSTRAP_SEED)
    distinct, places = np.unique(scores, return_inverse=True)
    genuine, impostor = places[same], places[~same]

    def drawn(rounds: int) -> rates.Tallies:
        ours, others = [], []
        for _ in range(rounds):
            ours.append(genuine if impostors_alone else draws.choice(genuine, len(genuine)))
            others.append(draws.choice(impostor, len(impostor)))
        return rates.Tallies(
            scores=distinct, genuine=_count(np.stack(ours), distinct), impostor=_count(np.stack(others), distinct)
        )

    return _each(statistics, (drawn(len(part)) for part in _parts(distinct)))


def _parts(distinct: rates.Scores) -> list[NDArray[np.int64]]:
    """The numbers of the rounds, in parts that are computed together."""
    at_once = max(1, MOST_COUNTS // len(distinct))
    return np.split(np.arange(BOOTSTRAP_ROUNDS), range(at_once, BOOTSTRAP_ROUNDS, at_once))


def _count(places: NDArray[np.int64], distinct: rates.Scores, weights: NDArray[np.int64] | None = None) -> rates.Counts:
    """Places (R, P) among T distinct scores, and how often each counts -> how often each occurs, (R, T)."""
    rounds = len(places)
    flat = (places + len(distinct) * np.arange(rounds)[:, None]).ravel()
    counts = np.bincount(flat, None if weights is None else weights.ravel(), rounds * len(distinct))
    return counts.astype(np.int64).reshape(rounds, len(distinct))


def _each(statistics: Statistics, parts: Iterable[rates.Tallies]) -> dict[str, rates.Scores]:
    """Each statistic of all samples, one part after the other, so that statistics share what they compute of it."""
    found = [{name: statistic(part) for name, statistic in statistics.items()} for part in parts]
    return {name: np.concatenate([part[name] for part in found]) for name in statistics}


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
    statistics: Statistics, scores: rates.Scores, same: rates.Labels, left: Owners, right: Owners
) -> dict[str, rates.Estimate]:
    """Statistics of pairs with 95% percentile intervals (Efron 1979) over people; all arrays are (P,).

    Drawing people (pigeonhole bootstrap, Owen 2007) counts the variance of each impostor pair three times: its weight
    is a product of two random counts, and varies with either and with both. So twice the variance from resampling only
    these pairs is subtracted, but at least that variance is kept, and the interval is scaled to the rest. This is the
    variance of pairs that depend on each other if they share a person (Aronow, Samii and Assenova 2015), and of
    independent pairs if they share no people.

    Rounds without genuine pairs or without impostor pairs are left out.
    """
    whole, estimates = rates.Tallies.of(scores, same), {}
    over_people = _each(statistics, _of_drawn_people(scores, same, left, right))
    over_impostors = resampled(statistics, scores, same, impostors_alone=True)
    for name, statistic in statistics.items():
        value, values = float(statistic(whole)[0]), over_people[name]
        counted, of_impostors = np.var(values), np.var(over_impostors[name])
        narrowed = np.sqrt(max(counted - 2 * of_impostors, of_impostors) / counted) if counted else 1.0
        low, high = value + min(narrowed, 1.0) * (np.percentile(values, [2.5, 97.5]) - value)
        estimates[name] = rates.Estimate(value=value, low=float(low), high=float(high))
    return estimates


def _of_drawn_people(scores: rates.Scores, same: rates.Labels, left: Owners, right: Owners) -> Iterator[rates.Tallies]:
    """The pairs of the people drawn in each round that has pairs of both kinds."""
    distinct, places = np.unique(scores, return_inverse=True)
    drawn = draw_people(int(max(left.max(), right.max())) + 1)
    for part in _parts(distinct):
        weights = pair_weights(drawn[part], left, right)
        both = weights[:, same].any(1) & weights[:, ~same].any(1)
        genuine, impostor = (
            _count(np.broadcast_to(places[kind], (int(both.sum()), int(kind.sum()))), distinct, weights[both][:, kind])
            for kind in (same, ~same)
        )
        yield rates.Tallies(scores=distinct, genuine=genuine, impostor=impostor)
