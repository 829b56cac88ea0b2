"""What "closer" means: a similarity from 0 to 1, higher for the same person, and the threshold that decides.

B batch
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

Decision = Literal["same", "different"]


class Threshold(BaseModel):
    """The similarity from which two pictures count as the same person, and how it was chosen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float = Field(ge=0.0, le=1.0)
    method: str
    split: str
    pairs: int = Field(ge=0)


class OperatingPoint(BaseModel):
    """A threshold for a wanted false match rate, and the rate that was measured there, with its 95% interval.

    The rate is over `pairs` impostor pairs, every one that `people` people have; the interval is over people.
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


def similarity(logits: Tensor) -> Tensor:
    """(B,) logits -> (B,) float64 similarities, 0..1. In double precision, so that sure answers stay apart."""
    return logits.double().sigmoid()


def decide(value: float, threshold: float) -> Decision:
    """A similarity at the threshold counts as the same person."""
    return "same" if value >= threshold else "different"
