"""From the bytes of a picture to what the network sees. Training and serving both come through here.

bytes -> `decode` -> upright 8-bit grey picture -> `shrink` -> uint8 (H, W) -> `normalise` -> float32 (B, 1, H, W)

B batch, H W pixels
"""

import io
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Resampling, Transpose
from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer
from torch import Tensor

from model.errors import EmptyImage, ImageTooLarge, ImageTooSmall, UndecodableImage, UnsupportedImage

Format = Literal["JPEG", "PNG", "WEBP"]
Pixels = NDArray[np.uint8]

ORIENTATION_TAG = 0x0112
UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)

# Fields of PreprocessingConfig that the first checkpoints did not have yet, and the values that they stand for there.
LATER: dict[str, Any] = {"crop": 1.0, "standardised": False}
LEAST_DEVIATION = 1 / 255
"""A picture of one shade is not blown up into noise."""


class PreprocessingConfig(BaseModel):
    """What a checkpoint remembers of how its pictures were made; another value here is another embedding.

    Code below that makes other pixels of some file raises `version`. A JPEG is decoded at 1/2, 1/4 or 1/8 as long as
    `draft_margin` times the network's side is left to resize from. Of each side the middle `crop` is taken. A picture
    that is `standardised` gets mean 0 and deviation 1 of its own; `mean` and `std` are not used then.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    version: Literal[1] = 1
    side_px: int = Field(default=105, ge=1)
    colour: Literal["grey"] = "grey"
    resampling: Literal["antialiased-bilinear"] = "antialiased-bilinear"
    mean: float = 0.5
    std: float = Field(default=0.5, gt=0)
    draft_margin: int = Field(default=4, ge=1)
    crop: float = Field(default=1.0, gt=0, le=1)
    standardised: bool = False

    @model_serializer(mode="wrap")
    def _without_later_fields(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Fields added later are left out at their defaults, so that digests of older checkpoints still hold."""
        values: dict[str, Any] = serialize(self)
        return {name: value for name, value in values.items() if name not in LATER or value != LATER[name]}


@dataclass(frozen=True, kw_only=True)
class ImageLimits:
    """What `decode` refuses, judged by the header before a pixel is decoded."""

    max_pixels: int = 50_000_000
    min_side_px: int = 32


@dataclass(frozen=True, kw_only=True)
class Photograph:
    """A decoded picture: upright, grey (mode L), perhaps reduced; with the upright size it had in its file."""

    grey: Image.Image
    format: Format
    width_px: int
    height_px: int


def decode(data: bytes, config: PreprocessingConfig, limits: ImageLimits | None = None) -> Photograph:
    """The bytes of a JPEG, PNG or WebP file -> the upright grey picture that they look like.

    EXIF orientation is applied, transparency is laid over white, 16 bits become 8, of an animation the first frame
    counts. Raises EmptyImage, UnsupportedImage, UndecodableImage, ImageTooLarge or ImageTooSmall.
    """
    kind = sniff(data)
    limits = limits or ImageLimits()
    try:
        image = Image.open(io.BytesIO(data), formats=[kind])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge(_too_large(limits)) from error
    except Exception as error:  # Pillow's parsers raise whatever the bytes lead them into
        raise UndecodableImage(f"the {kind} header is damaged") from error
    width, height = image.size
    _check_size(width, height, limits)
    try:
        if kind == "PNG":
            Image.open(io.BytesIO(data), formats=[kind]).verify()  # loading leaves the pixels' checksums unread
        grey = _grey(_load(image, config))
        orientation = _orientation(image)
        upright = grey.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else grey
    except Exception as error:  # as above: OSError, ValueError, SyntaxError, OverflowError, MemoryError, struct.error
        raise UndecodableImage(f"the {kind} data is truncated or damaged") from error
    if orientation in SIDEWAYS:
        width, height = height, width
    return Photograph(grey=upright, format=kind, width_px=width, height_px=height)


def shrink(photograph: Photograph, config: PreprocessingConfig) -> Pixels:
    """A decoded picture -> uint8 (H, W), its middle part resized with antialiasing to the network's side."""
    side, (width, height) = config.side_px, photograph.grey.size
    margin_x, margin_y = (1 - config.crop) / 2 * width, (1 - config.crop) / 2 * height
    box = (margin_x, margin_y, width - margin_x, height - margin_y)
    return np.array(photograph.grey.resize((side, side), Resampling.BILINEAR, box=box))


def prepare(data: bytes, config: PreprocessingConfig, limits: ImageLimits | None = None) -> Pixels:
    """The bytes of a picture -> uint8 (H, W); `decode` and `shrink` in one. Raises what `decode` raises."""
    return shrink(decode(data, config, limits), config)


def to_unit(pixels: Tensor) -> Tensor:
    """uint8 (B, H, W), 0..255 -> float32 (B, 1, H, W), 0..1."""
    return pixels.unsqueeze(1).to(torch.float32) / 255


def normalise(images: Tensor, config: PreprocessingConfig) -> Tensor:
    """float32 (B, 1, H, W), 0..1 -> float32 (B, 1, H, W), -1..1 with the default mean and deviation."""
    if config.standardised:
        deviation, mean = torch.std_mean(images, dim=(1, 2, 3), correction=0, keepdim=True)
        return (images - mean) / deviation.clamp_min(LEAST_DEVIATION)
    return (images - config.mean) / config.std


def sniff(data: bytes) -> Format:
    """The format that the first bytes announce. Raises EmptyImage or UnsupportedImage."""
    if not data:
        raise EmptyImage("the image has no bytes")
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    raise UnsupportedImage("the image is not JPEG, PNG or WebP")


def _check_size(width_px: int, height_px: int, limits: ImageLimits) -> None:
    if width_px * height_px > limits.max_pixels:
        raise ImageTooLarge(_too_large(limits))
    if min(width_px, height_px) < limits.min_side_px:
        raise ImageTooSmall(f"the image is {width_px}x{height_px}; each side needs {limits.min_side_px} pixels or more")


def _too_large(limits: ImageLimits) -> str:
    return f"the image has more than {limits.max_pixels:,} pixels; send a smaller one"


def _load(image: Image.Image, config: PreprocessingConfig) -> Image.Image:
    """Decodes the pixels; a large JPEG at a fraction of its size, which costs a fraction of the time and memory."""
    least_px = config.draft_margin * config.side_px
    image.draft(None, (least_px, least_px))
    image.load()
    return image


def _grey(image: Image.Image) -> Image.Image:
    """Any mode of the three formats -> L."""
    if image.mode.startswith("I"):  # 16-bit grey, which convert("L") would clip to white
        values = np.asarray(image, dtype=np.uint16)
        clear = values == image.info.get("transparency", -1)
        return Image.fromarray(np.where(clear, 255, values // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("L", image.size, "white")
        white.paste(image.convert("L"), mask=image.getchannel("A"))
        return white
    return image.convert("L")


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none that can be read, for many good pictures have bad EXIF."""
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:
        return 1
