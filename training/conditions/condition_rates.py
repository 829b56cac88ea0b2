"""False match rates of pairs that share a condition: held-out people's pictures with the same change.

K pictures, F features
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.conditions import ConditionRates
from model.imaging.conditions import RELIABLE_SCORE, UNCERTAIN_FACE, ConditionDetectors
from model.similarity import FalseMatchCurve
from training.conditions.detectors import NOT_MEASURED
from training.conditions.held_out import HeldOutPictures, Scored
from training.statistics.operating_points import false_match_curve

SPLIT = "held-out people"
# With fewer pictures in a condition its rates are not measured.
MIN_PICTURES = 30


def measure_conditions(
    pictures: HeldOutPictures, scored: Sequence[Scored], detectors: ConditionDetectors
) -> tuple[ConditionRates, ...]:
    """The rates of each condition over the impostor pairs in which both pictures are found to be in it.

    Of several changes that lead to one condition the highest rate counts, at each threshold. Faces are uncertain in
    pairs of any change, all together.
    """
    places = {each.condition: number for number, each in enumerate(detectors.detectors)}
    curves: dict[str, list[FalseMatchCurve]] = {name: [] for name in (*places, UNCERTAIN_FACE)}
    for each in scored:
        if each.condition in places.keys() - NOT_MEASURED:
            found = each.there & (detectors.values(each.features)[:, places[each.condition]] > 0)
            curves[each.condition] += _curve(pictures, [(each, found)], each.change)
    uncertain = [(each, each.there & (each.detected < RELIABLE_SCORE)) for each in scored]
    curves[UNCERTAIN_FACE] += _curve(pictures, uncertain, "all changes")
    return tuple(
        ConditionRates(condition=name, false_match_curve=highest(found) if found else None)
        for name, found in sorted(curves.items())
    )


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
