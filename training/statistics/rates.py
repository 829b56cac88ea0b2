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
class Tallies:
    """How many pairs have each of T distinct scores, which rise (T,), in each of R samples: int64 (R, T).

    Each sample has genuine and impostor pairs; a score may have none of them.
    """

    scores: Scores
    genuine: Counts
    impostor: Counts

    @classmethod
    def of(cls, scores: Scores, same: Labels) -> "Tallies":
        """Of one sample, with scores (P,) and labels (P,)."""
        distinct = np.unique(scores)
        genuine, impostor = (_count(scores[kind], distinct)[None] for kind in (same, ~same))
        return cls(scores=distinct, genuine=genuine, impostor=impostor)

    @cached_property
    def roc(self) -> tuple[Scores, Scores]:
        """FMR and FNMR, each (R, T + 1), at every threshold from above the highest score down to the lowest."""
        matches, genuine = (_cumulative(counts) for counts in (self.impostor, self.genuine))
        return matches / matches[:, -1:], (genuine[:, -1:] - genuine) / genuine[:, -1:]

    def area_under_roc(self) -> Scores:
        """(R,): the probability that a genuine pair scores higher than an impostor pair; ties count half."""
        fmr, fnmr = self.roc
        match_rate = 1 - fnmr
        parts = np.diff(fmr) * (match_rate[:, 1:] + match_rate[:, :-1]) / 2.0
        # Without the scores that a sample does not have: the sum's rounding is that of the sample alone.
        there = (self.genuine + self.impostor > 0)[:, ::-1]
        return np.array([each[some].sum() for each, some in zip(parts, there, strict=True)])

    def equal_error_rate(self) -> Scores:
        """(R,): where FMR and FNMR cross, interpolated between the two thresholds around the crossing."""
        fmr, fnmr = self.roc
        after = np.argmax(fmr >= fnmr, axis=1)[:, None]
        fmr_before, fnmr_before, fmr_after, fnmr_after = (
            np.take_along_axis(rate, place, axis=1)[:, 0] for place in (after - 1, after) for rate in (fmr, fnmr)
        )
        gap_before, gap_after = fnmr_before - fmr_before, fmr_after - fnmr_after
        weight = gap_before / (gap_before + gap_after)
        found: Scores = fmr_before + weight * (fmr_after - fmr_before)
        return found

    def fnmr_at_fmr(self, max_fmr: float) -> Scores:
        """(R,): the lowest FNMR among thresholds whose FMR is at most `max_fmr`."""
        fmr, fnmr = self.roc
        found: Scores = np.where(fmr <= max_fmr, fnmr, np.inf).min(1)
        return found


def _cumulative(counts: Counts) -> Counts:
    """(R, T) -> (R, T + 1): how many pairs have at least the highest scores, none first."""
    found: Counts = np.zeros((len(counts), counts.shape[1] + 1), np.int64)
    np.cumsum(counts[:, ::-1], axis=1, out=found[:, 1:])
    return found


def _count(scores: Scores, distinct: Scores) -> Counts:
    """How many of the scores equal each of the distinct ones (T,), which are all that there are."""
    return np.diff(np.searchsorted(np.sort(scores), distinct), append=len(scores))


def roc(scores: Scores, same: Labels) -> tuple[Scores, Scores]:
    """FMR and FNMR, each (T,), at every threshold from above the highest score down to the lowest."""
    fmr, fnmr = Tallies.of(scores, same).roc
    return fmr[0], fnmr[0]


def area_under_roc(scores: Scores, same: Labels) -> float:
    """The probability that a genuine pair scores higher than an impostor pair; ties count half."""
    return float(Tallies.of(scores, same).area_under_roc()[0])


def equal_error_rate(scores: Scores, same: Labels) -> float:
    """Where FMR and FNMR cross, interpolated between the two thresholds around the crossing."""
    return float(Tallies.of(scores, same).equal_error_rate()[0])


def fnmr_at_fmr(scores: Scores, same: Labels, max_fmr: float) -> float:
    """The lowest FNMR among thresholds whose FMR is at most `max_fmr`."""
    return float(Tallies.of(scores, same).fnmr_at_fmr(max_fmr)[0])


def cross_entropy(scores: Scores, same: Labels) -> float:
    """Mean binary cross-entropy in nats; likelihoods are at least 1e-12."""
    likelihood = np.where(same, scores, 1 - scores)
    return float(-np.log(likelihood.clip(1e-12)).mean())


def squared_error(scores: Scores, same: Labels) -> float:
    """Mean squared error of the similarity against the label, 0 or 1."""
    return float(((scores - same) ** 2).mean())
