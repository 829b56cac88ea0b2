"""What is promised of two pictures that share a condition, such as blur, glasses or a tight crop.

Strangers whose pictures are alike in more than their faces pass more often than the rates of clean photographs say. So
rates are also measured on pairs that share a condition.

B pairs, D embedding, N pictures
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from model.arrays import Embeddings
from model.similarity import Calibration, Decision, FalseMatchCurve, decide

# Rates are of photographs, so this condition of either picture is one of the pair.
NOT_PHOTOGRAPH = "not_photograph"
# The thumbnails are alike, as those of one camera, place and pose are. A pair alone is in this condition.
ALIKE = "alike"


@dataclass(frozen=True, kw_only=True)
class ComparedPair:
    """The similarity of a pair, and the conditions that its embeddings show."""

    similarity: float
    conditions: list[str]


@dataclass(frozen=True, kw_only=True)
class PairRate:
    """A false match rate, and whether it is only an upper bound, the lowest that its curve can show."""

    value: float
    is_bound: bool


class ConditionRates(BaseModel):
    """The false match rates of pairs in which both pictures are in a condition; None if they were not measured.

    `likeness` is from which likeness (`likeness_of`) pairs are ALIKE, None for other conditions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    condition: str
    likeness: float | None = Field(default=None, exclude_if=lambda limit: limit is None)
    false_match_curve: FalseMatchCurve | None = None

    def least_similarity(self, max_fmr: float) -> float:
        """The similarity from which the false match rate is at most `max_fmr`; infinite if none is known."""
        return self.false_match_curve.least_similarity(max_fmr) if self.false_match_curve else inf

    def after(self, old: Calibration, new: Calibration) -> Self:
        """The same rates for similarities of another scale and bias."""
        curve = self.false_match_curve
        return self if curve is None else self.model_copy(update={"false_match_curve": curve.after(old, new)})


def likeness_of(left: Embeddings, right: Embeddings, unit_parts: Sequence[int]) -> NDArray[np.float64]:
    """(..., D) twice, which broadcast -> (...): how alike the pictures are in all but identity, -1 to 1.

    It is the inner product of their thumbnails, the last of several `unit_parts`. Raises ValueError without thumbnails.
    """
    if len(unit_parts) < 2:
        raise ValueError("the embeddings have no thumbnails")
    one, other = (side[..., -unit_parts[-1] :].astype(np.float64) for side in (left, right))
    return np.asarray(len(unit_parts) * np.vecdot(one, other))


def likeness_table(embeddings: Embeddings, unit_parts: Sequence[int]) -> NDArray[np.float64] | None:
    """float32 (N, D) -> float64 (N, N), how alike all pairs of pictures are; None without thumbnails."""
    if len(unit_parts) < 2:
        return None
    return np.stack([likeness_of(row, embeddings, unit_parts) for row in embeddings])


def shown_conditions(
    left: Embeddings, right: Embeddings, unit_parts: Sequence[int], rates: Sequence[ConditionRates]
) -> list[list[str]]:
    """float32 (B, D) twice -> the conditions of each pair that its embeddings show."""
    limits = [each.likeness for each in rates if each.likeness is not None]
    if not limits:
        return [[] for _ in left]
    return [[ALIKE] if alike else [] for alike in likeness_of(left, right, unit_parts) >= min(limits)]


def with_shown(shared: Sequence[str] | None, shown: Sequence[str]) -> list[str] | None:
    """The conditions that both sides share, None if they are not known, and those that the pair shows."""
    return sorted({*(shared or ()), *shown}) if shared is not None or shown else None


def shared_conditions(left: Iterable[Sequence[str]], right: Iterable[Sequence[str]]) -> list[str]:
    """The conditions that both sides are in, and NOT_PHOTOGRAPH if either is.

    A side of several pictures is in those of each of its pictures.
    """
    one, other = ({name for names in side for name in names} for side in (left, right))
    return sorted((one & other) | ((one | other) & {NOT_PHOTOGRAPH}))


def rate_of_pair(
    value: float, curve: FalseMatchCurve | None, rates: Sequence[ConditionRates], shared: Sequence[str]
) -> PairRate | None:
    """The false match rate at a similarity: the largest of the clean photographs' and the shared conditions'.

    None if one of them was not measured.
    """
    measured = {each.condition: each.false_match_curve for each in rates}
    curves = [curve, *(measured.get(name) for name in shared)]
    known = [PairRate(value=each.rate_at(value), is_bound=each.is_bound_at(value)) for each in curves if each]
    return max(known, key=lambda rate: (rate.value, not rate.is_bound)) if len(known) == len(curves) else None


def decide_for_pair(
    value: float, threshold: float, max_fmr: float | None, rates: Sequence[ConditionRates], shared: Sequence[str]
) -> Decision:
    """The decision at a threshold; with `max_fmr`, "undecided" if the pair's conditions break what "same" promises.

    That is so below the similarity from which a shared condition keeps the rate, and everywhere if none was measured.
    """
    decision = decide(value, threshold)
    if max_fmr is None or decision == "different":
        return decision
    least = {each.condition: each.least_similarity(max_fmr) for each in rates}
    return "undecided" if any(value < least.get(name, inf) for name in shared) else "same"
