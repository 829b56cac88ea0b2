"""Which similarity counts as the same person: a threshold, or the operating point of a false match rate."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isclose
from typing import Self

from model.errors import RuleError
from model.similarity import OperatingPoint


@dataclass(frozen=True, kw_only=True)
class Rule:
    """From which similarity the decision is "same", and the operating point's name and rate if one was asked for."""

    threshold: float
    operating_point: str | None = None
    max_fmr: float | None = None

    @classmethod
    def choose(
        cls, threshold: float | None, max_fmr: float | None, default: float, points: Sequence[OperatingPoint]
    ) -> Self:
        """A threshold, or the operating point of a false match rate, or the threshold `default`. Raises RuleError."""
        if max_fmr is None:
            return cls(threshold=default if threshold is None else threshold)
        if threshold is not None:
            raise RuleError("send threshold or max_fmr, not both")
        for point in points:
            if isclose(point.max_fmr, max_fmr, rel_tol=1e-6):
                return cls(threshold=point.threshold, operating_point=point.name, max_fmr=point.max_fmr)
        known = ", ".join(f"{point.max_fmr:g}" for point in points)
        there = f"its max_fmr are {known}; send one of these or" if known else "it has none; send"
        raise RuleError(f"the model has no such operating point: {there} a threshold")
