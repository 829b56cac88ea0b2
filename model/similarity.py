"""Similarities, their calibration, thresholds, metrics, false match rates and the decision.

A similarity is from 0 to 1, higher for the same person.

B batch, D embedding
"""

from collections.abc import Sequence
from math import inf, log
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from model.arrays import Embeddings, Similarities
from model.averaging import scale_parts

# "undecided" is said of pairs whose conditions break the false match rate that was asked for.
Decision = Literal["same", "different", "undecided"]


class Calibration(BaseModel):
    """What is applied to a network's embeddings and logits, so that similarities suit other photographs.

    If there is a `mean` (D,), it is subtracted from both embeddings, which then get length 1 again, each of their
    `unit_parts` alike; (), as in older checkpoints, is one part. The logit of the two becomes scale * logit + bias. The
    default changes nothing. `made_on` says which pictures it was made on, with the thresholds and rates; "" for those
    that the network's own run chose.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mean: tuple[float, ...] = Field(default=(), exclude_if=lambda mean: not mean)
    unit_parts: tuple[int, ...] = Field(default=(), exclude_if=lambda parts: not parts)
    scale: float = Field(default=1.0, gt=0.0)
    bias: float = 0.0
    made_on: str = Field(default="", exclude_if=lambda pictures: not pictures)

    @classmethod
    def centring(cls, mean: Sequence[float], unit_parts: Sequence[int]) -> Self:
        """One that subtracts a mean (D,) alone. `unit_parts` are those of the network's configuration."""
        return cls(mean=tuple(mean), unit_parts=tuple(unit_parts) if len(unit_parts) > 1 else ())

    def centre(self, embeddings: Embeddings) -> Embeddings:
        """float32 (B, D) of length 1 -> the same without the mean, of length 1; unchanged if there is no mean."""
        if not self.mean:
            return embeddings
        apart = embeddings.astype(np.float64) - np.array(self.mean)
        scale_parts(apart, self.unit_parts or (len(self.mean),))
        centred: Embeddings = apart.astype(np.float32)
        return centred

    def adjust(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """(B,) logits of centred embeddings -> (B,) calibrated logits."""
        return self.scale * logits + self.bias


class Threshold(BaseModel):
    """The similarity from which two faces count as the same person, and how it was chosen.

    `fmr` is the false match rate that it was chosen for, if it was chosen by one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    value: float = Field(ge=0.0, le=1.0)
    method: str
    split: str
    pairs: int = Field(ge=0)
    fmr: float | None = Field(default=None, gt=0.0, lt=1.0, exclude_if=lambda fmr: fmr is None)


class Metric(BaseModel):
    """One measured value with the number of pairs it was measured on and, if computed, its 95% interval."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    split: str
    value: float
    pairs: int
    interval: tuple[float, float] | None = None


class OperatingPoint(BaseModel):
    """A threshold for a false match rate of at most `max_fmr`, with the measured rate and its 95% interval.

    `fmr` was measured on `pairs` impostor pairs of `people` people; the interval comes from resampling people.
    `fmr_of_similar` is the rate over pairs of each person and the most similar other people, None if not measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    max_fmr: float = Field(gt=0.0, lt=1.0)
    threshold: float = Field(ge=0.0, le=1.0)
    fmr: float = Field(ge=0.0, le=1.0)
    interval: tuple[float, float]
    split: str
    pairs: int = Field(gt=0)
    people: int = Field(gt=1)
    fmr_of_similar: float | None = Field(default=None, ge=0.0, le=1.0, exclude_if=lambda rate: rate is None)
    interval_of_similar: tuple[float, float] | None = Field(default=None, exclude_if=lambda ends: ends is None)


class FalseMatchCurve(BaseModel):
    """The false match rate by threshold, measured on `pairs` impostor pairs of `people` people.

    Thresholds rise and rates fall. The last rate is the lowest that this number of pairs can show.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    thresholds: tuple[float, ...] = Field(min_length=2)
    rates: tuple[float, ...] = Field(min_length=2)
    split: str
    pairs: int = Field(gt=0)
    people: int = Field(gt=1)

    @model_validator(mode="after")
    def _check_monotonic(self) -> Self:
        if len(self.thresholds) != len(self.rates):
            raise ValueError("a curve needs as many rates as thresholds")
        if list(self.thresholds) != sorted(set(self.thresholds)) or not 0 < min(self.rates) <= max(self.rates) <= 1:
            raise ValueError("a curve's thresholds must rise and its rates lie between 0 and 1")
        if list(self.rates) != sorted(self.rates, reverse=True):
            raise ValueError("a curve's rates must not rise with the threshold")
        return self

    def rate_at(self, value: float) -> float:
        """The share of impostor pairs with at least this similarity, interpolated in the rate's logarithm.

        Above the last threshold it is the last rate, an upper bound.
        """
        logarithms = np.log(self.rates)
        return float(np.exp(np.interp(value, self.thresholds, logarithms)))

    def is_bound_at(self, value: float) -> bool:
        """Whether no measured impostor pair has this similarity, so that the rate is only an upper bound."""
        return value > self.thresholds[-1]

    def after(self, old: Calibration, new: Calibration) -> Self:
        """The same rates for similarities that have the scale and bias of another calibration.

        Rates of thresholds that become equal are left out, but for the first.
        """
        ends = np.nextafter([0.0, 1.0], [1.0, 0.0])
        values = np.clip(self.thresholds, *ends)
        logits = (np.log(values) - np.log1p(-values) - old.bias) / old.scale
        thresholds, first = np.unique(similarity(new.adjust(logits)), return_index=True)
        rates = np.array(self.rates)[first]
        return self.model_copy(update={"thresholds": tuple(thresholds.tolist()), "rates": tuple(rates.tolist())})

    def least_similarity(self, max_fmr: float) -> float:
        """The lowest similarity at which `rate_at` is at most `max_fmr`; 0 if all are, infinite if none is."""
        if max_fmr >= self.rates[0]:
            return 0.0
        if max_fmr < self.rates[-1]:
            return inf
        # For thresholds that share a rate, the first: np.interp needs rates that rise.
        rising, first = np.unique(-np.log(self.rates), return_index=True)
        return float(np.interp(-log(max_fmr), rising, np.array(self.thresholds)[first]))


def similarity(logits: NDArray[np.float64]) -> Similarities:
    """(B,) logits -> (B,) similarities, 0 to 1."""
    with np.errstate(invalid="ignore"):  # the verifier refuses values that are not finite
        return np.asarray(np.exp(-np.logaddexp(0, -logits)))


def decide(value: float, threshold: float) -> Decision:
    """A similarity equal to the threshold counts as the same person."""
    return "same" if value >= threshold else "different"
