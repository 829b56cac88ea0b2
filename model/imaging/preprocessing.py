"""How crops are made from images, as a checkpoint records it. Training and serving take the same steps:

bytes -> `decoding.decode` -> photo -> `crops.resize` or `crops.align` -> crop, uint8 (H, W) or (H, W, 3)
crops, uint8 (B, H, W) or (B, H, W, 3) -> `to_unit` and `normalise` of `networks.embedder` -> float32 (B, C, H, W)

`cpu.graph` does the second line on a CPU. The first needs neither runtime.

B batch, C channels (1 for grey, 3 for colour), H W pixels
"""

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from model.arrays import Points

# The largest crop: many times the side of any network's, so that no header can demand huge arrays.
MAX_SIDE_PX = 1024
# The shares of red, green and blue in grey, as in Pillow (ITU-R BT.601).
LUMA = (0.299, 0.587, 0.114)
# Keeps standardising from amplifying the noise of a uniform crop.
MIN_DEVIATION = 1 / 255


class Alignment(BaseModel):
    """Where the five landmarks go, as shares of the side of the data set's frame, and which detector finds them.

    `refinement` is how landmarks are refined; see `imaging.refinement`. Only "learned" has a landmark network.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    template: tuple[tuple[float, float], ...]
    detector_sha256: str
    refinement: Literal["settled", "smooth", "learned"] = Field(
        default="settled", exclude_if=lambda kind: kind == "settled"
    )
    landmarks_sha256: str | None = Field(default=None, exclude_if=lambda digest: digest is None)

    @field_validator("template")
    @classmethod
    def _check_landmarks(cls, template: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        if len(set(template)) != 5:
            raise ValueError("a template needs five different points")
        return template

    @model_validator(mode="after")
    def _check_network(self) -> "Alignment":
        if (self.refinement == "learned") != (self.landmarks_sha256 is not None):
            raise ValueError('the refinement "learned" needs landmarks_sha256, and no other has it')
        return self

    def points(self, side_px: float, crop: float = 1.0) -> Points:
        """The template, float64 (5, 2), in a crop of that side which shows the middle `crop` of the frame."""
        return ((np.array(self.template) - 0.5) / crop + 0.5) * side_px


class PreprocessingConfig(BaseModel):
    """How a network's crops are made. Networks with different values give different embeddings.

    A change of code that gives different pixels for any file must raise `version`. A JPEG is decoded at 1/2, 1/4 or 1/8
    of its size if that leaves `draft_margin` times `side_px`. With an `alignment` the face is aligned in the frame of
    its template; without one the whole photo is the frame. The crop shows the middle `crop` of the frame's sides. If
    `standardised`, each crop gets mean 0 and deviation 1, and `mean` and `std` are not used.
    Fields added since the first checkpoints are omitted at their defaults, so that older digests stay valid.
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
        """Channels (1 or 3) and side of the crops."""
        return (3 if self.colour == "rgb" else 1), self.side_px
