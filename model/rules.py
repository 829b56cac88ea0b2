"""Which similarity counts as the same person: a threshold, or the operating point of a false match rate."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isclose
from typing import Self

from model.errors import RuleError
from model.similarity import FalseMatchCurve, OperatingPoint


@dataclass(frozen=True, kw_only=True)
class Rule:
    """From which similarity the decision is "same". If a rate was asked for, also that, and the name of its operating
    point if it has one.
    """

    threshold: float
    operating_point: str | None = None
    max_fmr: float | None = None

    @classmethod
    def choose(
        cls,
        threshold: float | None,
        max_fmr: float | None,
        default: float,
        points: Sequence[OperatingPoint],
        curve: FalseMatchCurve | None,
    ) -> Self:
        """A threshold, or that of a false match rate, or the threshold `default`.

        Another rate than those of operating points takes the lowest threshold of the curve whose rate it allows. Below
        the lowest of their rates there is none, since too few people were measured. Raises RuleError.
        """
        if max_fmr is None:
            return cls(threshold=default if threshold is None else threshold)
        if threshold is not None:
            raise RuleError("send threshold or max_fmr, not both")
        for point in points:
            if isclose(point.max_fmr, max_fmr, rel_tol=1e-6):
                return cls(threshold=point.threshold, operating_point=point.name, max_fmr=point.max_fmr)
        if not points or curve is None:
            known = ", ".join(f"{point.max_fmr:g}" for point in points)
            there = f"its max_fmr are {known}; send one of these or" if known else "it has none; send"
            raise RuleError(f"the model has no such operating point: {there} a threshold")
        least = min(point.max_fmr for point in points)
        if not least < max_fmr < 1:
            raise RuleError(f"the model's max_fmr can be from {least:g} to below 1; send such a rate, or a threshold")
        lowest = max([0.0, *(point.threshold for point in points if point.max_fmr > max_fmr)])
        highest = min(point.threshold for point in points if point.max_fmr < max_fmr)
        measured = zip(curve.thresholds, curve.rates, strict=True)
        allowed = next((similarity for similarity, rate in measured if rate <= max_fmr), highest)
        return cls(threshold=min(max(allowed, lowest), highest), max_fmr=max_fmr)
