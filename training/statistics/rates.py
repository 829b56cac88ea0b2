"""Accuracy, ROC, error rates and losses of scored pairs, with 95% intervals.

Rates use the terms of ISO/IEC 19795-1: the FMR is the share of impostor pairs (two people) that are accepted, the FNMR
the share of genuine pairs (one person) that are rejected, the EER the rate at which both are equal.
"""

from dataclasses import dataclass
from functools import cached_property
from math import sqrt

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Labels = NDArray[np.bool_]
Counts = NDArray[np.int64]

Z_95 = 1.959964


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value and its 95% interval."""

    value: float
    low: float
    high: float


def accuracy(scores: Scores, same: Labels, threshold: float) -> Estimate:
    """The share of correct decisions with Wilson's score interval (Wilson 1927); scores (P,), same (P,)."""
    return wilson(int(((scores >= threshold) == same).sum()), len(scores))


def wilson(successes: int, trials: int) -> Estimate:
    """A binomial proportion with Wilson's score interval."""
    share, z2 = successes / trials, Z_95**2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z_95 / (1 + z2 / trials) * sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    return Estimate(value=share, low=min(share, max(0.0, centre - half)), high=max(share, min(1.0, centre + half)))


def best_threshold(scores: Scores, same: Labels, ceiling: float = 1.0) -> float:
    """The threshold of highest accuracy, at most `ceiling`: halfway between two neighbouring scores, or a score and 1.

    The middle one of several equally good thresholds.
    """
    ordered = np.unique(scores)
    candidates = np.concatenate([ordered[:1], (ordered + np.append(ordered[1:], 1.0)) / 2])
    candidates = np.unique(np.minimum(candidates, ceiling))
    genuine, impostor = np.sort(scores[same]), np.sort(scores[~same])
    right = len(genuine) - np.searchsorted(genuine, candidates) + np.searchsorted(impostor, candidates)
    best = candidates[right == right.max()]
    return float(best[len(best) // 2])


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How many genuine and how many impostor pairs have each of T distinct scores, which rise; (T,) each.

    At least one pair has each score.
    """

    scores: Scores
    genuine: Counts
    impostor: Counts

    @classmethod
    def of(cls, scores: Scores, same: Labels) -> "Tally":
        """Of scores (P,) and labels (P,)."""
        distinct = np.unique(scores)
        genuine, impostor = (_count(scores[kind], distinct) for kind in (same, ~same))
        return cls(scores=distinct, genuine=genuine, impostor=impostor)

    @classmethod
    def of_places(cls, distinct: Scores, genuine: Counts, impostor: Counts) -> "Tally":
        """Of G genuine and I impostor pairs, whose scores are at the places (G,) and (I,) among distinct ones."""
        counts = (np.bincount(places, minlength=len(distinct)) for places in (genuine, impostor))
        of_genuine, of_impostor = counts
        there = of_genuine + of_impostor > 0
        return cls(scores=distinct[there], genuine=of_genuine[there], impostor=of_impostor[there])

    @cached_property
    def roc(self) -> tuple[Scores, Scores]:
        """FMR and FNMR, each (T + 1,), at every threshold from above the highest score down to the lowest."""
        matches, genuine = (np.append(0, np.cumsum(counts[::-1])) for counts in (self.impostor, self.genuine))
        return matches / matches[-1], (genuine[-1] - genuine) / genuine[-1]

    def area_under_roc(self) -> float:
        """The probability that a genuine pair scores higher than an impostor pair; ties count half."""
        fmr, fnmr = self.roc
        return float(np.trapezoid(1 - fnmr, fmr))

    def equal_error_rate(self) -> float:
        """Where FMR and FNMR cross, interpolated between the two thresholds around the crossing."""
        fmr, fnmr = self.roc
        after = int(np.argmax(fmr >= fnmr))
        gap_before, gap_after = fnmr[after - 1] - fmr[after - 1], fmr[after] - fnmr[after]
        weight = gap_before / (gap_before + gap_after)
        return float(fmr[after - 1] + weight * (fmr[after] - fmr[after - 1]))

    def fnmr_at_fmr(self, max_fmr: float) -> float:
        """The lowest FNMR among thresholds whose FMR is at most `max_fmr`."""
        fmr, fnmr = self.roc
        return float(fnmr[fmr <= max_fmr].min())


def _count(scores: Scores, distinct: Scores) -> Counts:
    """How many of the scores equal each of the distinct ones (T,), which are all that there are."""
    return np.diff(np.searchsorted(np.sort(scores), distinct), append=len(scores))


def roc(scores: Scores, same: Labels) -> tuple[Scores, Scores]:
    """FMR and FNMR, each (T,), at every threshold from above the highest score down to the lowest."""
    return Tally.of(scores, same).roc


def area_under_roc(scores: Scores, same: Labels) -> float:
    """The probability that a genuine pair scores higher than an impostor pair; ties count half."""
    return Tally.of(scores, same).area_under_roc()


def equal_error_rate(scores: Scores, same: Labels) -> float:
    """Where FMR and FNMR cross, interpolated between the two thresholds around the crossing."""
    return Tally.of(scores, same).equal_error_rate()


def fnmr_at_fmr(scores: Scores, same: Labels, max_fmr: float) -> float:
    """The lowest FNMR among thresholds whose FMR is at most `max_fmr`."""
    return Tally.of(scores, same).fnmr_at_fmr(max_fmr)


def cross_entropy(scores: Scores, same: Labels) -> float:
    """Mean binary cross-entropy in nats; likelihoods are at least 1e-12."""
    likelihood = np.where(same, scores, 1 - scores)
    return float(-np.log(likelihood.clip(1e-12)).mean())


def squared_error(scores: Scores, same: Labels) -> float:
    """Mean squared error of the similarity against the label, 0 or 1."""
    return float(((scores - same) ** 2).mean())
