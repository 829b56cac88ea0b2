"""False match rates of pairs that share a condition: held-out people's pictures with the same change.

K pictures, F features
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.conditions import ALIKE, ConditionRates
from model.imaging.conditions import RELIABLE_SCORE, UNCERTAIN_FACE, ConditionDetectors
from model.similarity import FalseMatchCurve
from training.conditions.detectors import NOT_MEASURED
from training.conditions.held_out import HeldOutPictures, Scored
from training.statistics.operating_points import false_match_curve
from training.statistics.rates import Scores
from training.statistics.resampling import Owners

SPLIT = "held-out people"
# With fewer pictures in a condition its rates are not measured.
MIN_PICTURES = 30
# From which inner product of their thumbnails two pictures are alike. Of LFW's held-out people's impostor pairs 0.26%
# are, enough to expect 19 false matches at a rate of 1%, and of their genuine pairs 8%.
LIKENESS = 0.45
# With fewer impostor pairs of pictures that are alike their rates are not measured.
MIN_ALIKE = 100


def measure_conditions(
    pictures: HeldOutPictures, scored: Sequence[Scored], detectors: ConditionDetectors
) -> tuple[ConditionRates, ...]:
    """The rates of each condition over the impostor pairs in which both pictures are found to be in it.

    Of several changes that lead to one condition the highest rate counts, at each threshold. Faces are uncertain in
    pairs of any change, all together. Pictures are alike among those of the first change, the unchanged ones.
    """
    places = {each.condition: number for number, each in enumerate(detectors.detectors)}
    curves: dict[str, list[FalseMatchCurve]] = {name: [] for name in (*places, UNCERTAIN_FACE)}
    for each in scored:
        if each.condition in places.keys() - NOT_MEASURED:
            found = each.there & (detectors.values(each.features)[:, places[each.condition]] > 0)
            curves[each.condition] += _curve(pictures, [(each, found)], each.change)
    uncertain = [(each, each.there & (each.detected < RELIABLE_SCORE)) for each in scored]
    curves[UNCERTAIN_FACE] += _curve(pictures, uncertain, "all changes")
    measured = [
        ConditionRates(condition=name, false_match_curve=highest(found) if found else None)
        for name, found in sorted(curves.items())
    ]
    if scored and (clean := scored[0]).likeness is not None:
        one, other = pictures.impostor_pairs(clean.there)
        scores = clean.table[one, other].astype(np.float64)
        owners = pictures.owner[one], pictures.owner[other]
        measured = [*rates_of_alike(scores, clean.likeness[one, other], *owners, SPLIT), *measured]
    return tuple(measured)


def rates_of_alike(
    scores: Scores, likeness: NDArray[np.float64], left: Owners, right: Owners, split: str
) -> list[ConditionRates]:
    """Over the impostor pairs (I,) of pictures that are alike, in a list; none if they are too few."""
    alike = likeness >= LIKENESS
    if alike.sum() < MIN_ALIKE:
        return []
    curve = false_match_curve(scores[alike], left[alike], right[alike], f"{split}, pictures that are alike")
    return [ConditionRates(condition=ALIKE, likeness=LIKENESS, false_match_curve=curve)] if curve else []


def _curve(
    pictures: HeldOutPictures, parts: Sequence[tuple[Scored, NDArray[np.bool_]]], change: str
) -> list[FalseMatchCurve]:
    """The curve over the impostor pairs of the chosen pictures, bool (K,), of each part; none for too few pictures."""
    if sum(int(chosen.sum()) for _, chosen in parts) < MIN_PICTURES:
        return []
    scores, left, right = [], [], []
    for each, chosen in parts:
        one, other = pictures.impostor_pairs(chosen)
        scores.append(each.table[one, other].astype(np.float64))
        left.append(pictures.owner[one])
        right.append(pictures.owner[other])
    split = f"{SPLIT}, {change}"
    curve = false_match_curve(np.concatenate(scores), np.concatenate(left), np.concatenate(right), split)
    return [curve] if curve else []


def highest(curves: Sequence[FalseMatchCurve]) -> FalseMatchCurve:
    """The highest rate of several curves at each of their thresholds; pairs and people are those of the smallest."""
    if len(curves) == 1:
        return curves[0]
    thresholds = sorted({threshold for curve in curves for threshold in curve.thresholds})
    return FalseMatchCurve(
        thresholds=tuple(thresholds),
        rates=tuple(max(curve.rate_at(threshold) for curve in curves) for threshold in thresholds),
        split="; ".join(curve.split for curve in curves),
        pairs=min(curve.pairs for curve in curves),
        people=min(curve.people for curve in curves),
    )
