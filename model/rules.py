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

        Between operating points and above them the threshold is read off the curve. Below the lowest of their rates it
        is not, since too few people were measured. Raises RuleError.
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
            raise RuleError(f"the model's max_fmr can be from {least:g} to below 1; send one of these or a threshold")
        lowest = max([0.0, *(point.threshold for point in points if point.max_fmr > max_fmr)])
        highest = min(point.threshold for point in points if point.max_fmr < max_fmr)
        return cls(threshold=min(max(curve.least_similarity(max_fmr), lowest), highest), max_fmr=max_fmr)
