"""What the network sees of a picture, as a checkpoint remembers it.

Training and serving both go this way, through `photographs.py`, `crops.py` and `normalisation.py`:
bytes -> `decode` -> upright 8-bit picture, grey or RGB -> `resize` or `align` -> uint8 (H, W) or (H, W, 3)
uint8 (B, H, W) or (B, H, W, 3) -> `to_unit`, `normalise` -> float32 (B, C, H, W)

Nothing before the last line needs torch, so that processes which only decode do without it.

B batch, C channels (1 of a grey picture, 3 of a coloured one), H W pixels
"""

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from model.arrays import Points

# Of what a network sees, many times what any has seen.
MAX_SIDE_PX = 1024


class Alignment(BaseModel):
    """Where the five landmarks go, as shares of the side of the data set's frame; and which detector finds them."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    template: tuple[tuple[float, float], ...]
    detector_sha256: str

    @field_validator("template")
    @classmethod
    def _check_landmarks(cls, template: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        if len(set(template)) != 5:
            raise ValueError("a template has five different points")
        return template

    def points(self, side_px: float, crop: float = 1.0) -> Points:
        """The template, float64 (5, 2), in a picture of that side which shows the middle `crop` of the frame."""
        return ((np.array(self.template) - 0.5) / crop + 0.5) * side_px


class PreprocessingConfig(BaseModel):
    """What a checkpoint remembers of how its pictures were made; another value here is another embedding.

    Code below that makes other pixels of some file raises `version`. A JPEG is decoded at 1/2, 1/4 or 1/8 as long as
    `draft_margin` times the network's side is left to resize from. With an `alignment` the face is straightened
    into the frame of its template, without one the whole picture is the frame; of the frame's sides the middle `crop`
    is taken. A picture that is `standardised` gets mean 0 and deviation 1 of its own; `mean`, `std` are not used then.
    Fields that the first checkpoints lacked are left out at their defaults, so that older digests hold.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    version: Literal[1] = 1
    side_px: int = Field(default=105, ge=1, le=MAX_SIDE_PX)
    colour: Literal["grey", "rgb"] = "grey"
    resampling: Literal["antialiased-bilinear"] = "antialiased-bilinear"
    mean: float = 0.5
    std: float = Field(default=0.5, gt=0)
    draft_margin: int = Field(default=4, ge=1)
    crop: float = Field(default=1.0, gt=0, le=1, exclude_if=lambda crop: crop == 1.0)
    standardised: bool = Field(default=False, exclude_if=lambda standardised: not standardised)
    alignment: Alignment | None = Field(default=None, exclude_if=lambda alignment: alignment is None)

    @property
    def input_shape(self) -> tuple[int, int]:
        """Channels (1 or 3) and side of what the network gets."""
        return (3 if self.colour == "rgb" else 1), self.side_px
