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


def similarity(logits: Tensor) -> Tensor:
    """(B,) logits -> (B,) float64 similarities, 0..1. In double precision, so that sure answers stay apart."""
    return logits.double().sigmoid()


def decide(value: float, threshold: float) -> Decision:
    """A similarity at the threshold counts as the same person."""
    return "same" if value >= threshold else "different"
