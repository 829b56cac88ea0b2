"""What is promised of two pictures that share a condition, such as blur, glasses or a tight crop.

Strangers whose pictures are alike in more than their faces pass more often than the rates of clean photographs say. So
rates are also measured on pairs that share a condition.
"""

from collections.abc import Iterable, Sequence
from math import inf
from typing import Self

from pydantic import BaseModel, ConfigDict

from model.similarity import Calibration, Decision, FalseMatchCurve, decide

# Rates are of photographs, so this condition of either picture is one of the pair.
NOT_PHOTOGRAPH = "not_photograph"


class ConditionRates(BaseModel):
    """The false match rates of pairs in which both pictures are in a condition; None if they were not measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    condition: str
    false_match_curve: FalseMatchCurve | None = None

    def least_similarity(self, max_fmr: float) -> float:
        """The similarity from which the false match rate is at most `max_fmr`; infinite if none is known."""
        return self.false_match_curve.least_similarity(max_fmr) if self.false_match_curve else inf

    def after(self, old: Calibration, new: Calibration) -> Self:
        """The same rates for similarities of another scale and bias."""
        curve = self.false_match_curve
        return self if curve is None else self.model_copy(update={"false_match_curve": curve.after(old, new)})


def shared_conditions(left: Iterable[Sequence[str]], right: Iterable[Sequence[str]]) -> list[str]:
    """The conditions that both sides are in, and NOT_PHOTOGRAPH if either is.

    A side of several pictures is in those of each of its pictures.
    """
    one, other = ({name for names in side for name in names} for side in (left, right))
    return sorted((one & other) | ((one | other) & {NOT_PHOTOGRAPH}))


def rate_of_pair(
    value: float, curve: FalseMatchCurve | None, rates: Sequence[ConditionRates], shared: Sequence[str]
) -> float | None:
    """The false match rate at a similarity: the largest of the clean photographs' and the shared conditions'.

    None if one of them was not measured.
    """
    measured = {each.condition: each.false_match_curve for each in rates}
    curves = [curve, *(measured.get(name) for name in shared)]
    known = [each.rate_at(value) for each in curves if each]
    return max(known) if len(known) == len(curves) else None


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
