"""What the network sees of a picture, as a checkpoint remembers it; and from pixels to the network's input.

Training and serving both come through here, `photographs.py` and `crops.py`:
bytes -> `decode` -> upright 8-bit picture, grey or RGB -> `resize` or `align` -> uint8 (H, W) or (H, W, 3)
uint8 (B, H, W) or (B, H, W, 3) -> `to_unit`, `normalise` -> float32 (B, C, H, W)

B batch, C channels (1 of a grey picture, 3 of a coloured one), H W pixels
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from model.alignment import Alignment
from model.growing import Growing

# The shares of red, green and blue in grey (ITU-R BT.601), as Pillow has it.
LUMA = (0.299, 0.587, 0.114)
# Of what a network sees, many times what any has seen.
MAX_SIDE_PX = 1024
# A picture of one shade is not blown up into noise.
MIN_DEVIATION = 1 / 255


class PreprocessingConfig(Growing):
    """What a checkpoint remembers of how its pictures were made; another value here is another embedding.

    Code below that makes other pixels of some file raises `version`. A JPEG is decoded at 1/2, 1/4 or 1/8 as long as
    `draft_margin` times the network's side is left to resize from. With an `alignment` the face is straightened
    into the frame of its template, without one the whole picture is the frame; of the frame's sides the middle `crop`
    is taken. A picture that is `standardised` gets mean 0 and deviation 1 of its own; `mean`, `std` are not used then.
    """

    later: ClassVar[frozenset[str]] = frozenset({"crop", "standardised", "alignment"})

    version: Literal[1] = 1
    side_px: int = Field(default=105, ge=1, le=MAX_SIDE_PX)
    colour: Literal["grey", "rgb"] = "grey"
    resampling: Literal["antialiased-bilinear"] = "antialiased-bilinear"
    mean: float = 0.5
    std: float = Field(default=0.5, gt=0)
    draft_margin: int = Field(default=4, ge=1)
    crop: float = Field(default=1.0, gt=0, le=1)
    standardised: bool = False
    alignment: Alignment | None = None

    @property
    def input_shape(self) -> tuple[int, int]:
        """Channels (1 or 3) and side of what the network gets."""
        return (3 if self.colour == "rgb" else 1), self.side_px


def to_unit(pixels: Tensor) -> Tensor:
    """uint8 (B, H, W) or (B, H, W, 3), 0..255 -> float32 (B, 1, H, W) or (B, 3, H, W), 0..1."""
    channels = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
    return channels.to(torch.float32) / 255


def normalise(images: Tensor, config: PreprocessingConfig) -> Tensor:
    """float32 (B, C, H, W), 0..1 -> float32 (B, C, H, W), -1..1 with the default mean and deviation."""
    return standardise(images) if config.standardised else (images - config.mean) / config.std


def standardise(images: Tensor) -> Tensor:
    """float32 (B, C, H, W) -> the same shape, each picture with mean 0 and deviation 1 over all its channels."""
    deviation, mean = torch.std_mean(images, dim=(1, 2, 3), correction=0, keepdim=True)
    return (images - mean) / deviation.clamp_min(MIN_DEVIATION)


def luma(images: Tensor) -> Tensor:
    """float (B, 3, H, W), red, green and blue -> float (B, 1, H, W), grey."""
    return (images * images.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
