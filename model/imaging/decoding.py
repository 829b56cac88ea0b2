"""From the bytes of a picture file to an upright 8-bit picture, grey and where it is wanted in colour."""

import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image
from PIL.Image import Transpose

from model.errors import EmptyImage, ImageTooLarge, ImageTooSmall, UndecodableImage, UnsupportedImage
from model.imaging.file_limits import require_few_chunks, require_few_scans
from model.imaging.preprocessing import PreprocessingConfig

Format = Literal["JPEG", "PNG", "WEBP"]

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
REQUIRE_FEW_PARTS = {"JPEG": require_few_scans, "PNG": require_few_chunks}


@dataclass(frozen=True, kw_only=True)
class ImageLimits:
    """What `decode` refuses, judged by the header before a pixel is decoded."""

    max_pixels: int = 50_000_000
    min_side_px: int = 32


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A decoded picture: upright, perhaps reduced; with the upright size it had in its file.

    In `grey` (mode L) faces are looked for; `picture` is what the network sees of it, the same or RGB.
    """

    grey: Image.Image
    picture: Image.Image
    format: Format
    width_px: int
    height_px: int


def decode(data: bytes, config: PreprocessingConfig, limits: ImageLimits | None = None) -> Photo:
    """The bytes of a JPEG, PNG or WebP file -> the upright picture that they look like.

    EXIF orientation is applied, transparency is laid over white, 16 bits become 8, of an animation the first frame
    counts. Raises EmptyImage, UnsupportedImage, UndecodableImage, ImageTooLarge or ImageTooSmall.
    """
    kind = sniff(data)
    limits = limits or ImageLimits()
    if kind in REQUIRE_FEW_PARTS:
        REQUIRE_FEW_PARTS[kind](data)
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=[kind])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge(_too_large(limits)) from error
    except Exception as error:  # Pillow's parsers raise whatever the bytes lead them into
        raise UndecodableImage(f"the {kind} header is damaged") from error
    width, height = image.size
    _check_size(width, height, limits)
    try:
        if kind == "PNG":
            Image.open(io.BytesIO(data), formats=[kind]).verify()  # loading leaves the pixels' checksums unread
        image = _load(image, config)
        orientation = _orientation(image)
        image = _as_seen(image, "RGB" if config.colour == "rgb" else "L")  # and the file's decoder can go
        picture = _upright(image, orientation)
        grey = picture if picture.mode == "L" else picture.convert("L")
    except Exception as error:  # as above: OSError, ValueError, SyntaxError, OverflowError, MemoryError, struct.error
        raise UndecodableImage(f"the {kind} data is truncated or damaged") from error
    if orientation in SIDEWAYS:
        width, height = height, width
    return Photo(grey=grey, picture=picture, format=kind, width_px=width, height_px=height)


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


def _as_seen(image: Image.Image, mode: Literal["L", "RGB"]) -> Image.Image:
    """Any mode of the three formats -> grey or RGB, over white."""
    if image.mode.startswith("I"):  # 16-bit grey, which convert("L") would clip to white
        values = np.asarray(image, dtype=np.uint16)
        clear = values == image.info.get("transparency", -1)
        return Image.fromarray(np.where(clear, 255, values // 257).astype(np.uint8)).convert(mode)
    if image.has_transparency_data:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new(mode, image.size, "white")
        white.paste(image, mask=image)  # Pillow converts the one and takes alpha of the other, without a copy
        return white
    return image if image.mode == mode else image.convert(mode)


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, any integer; 1 where none can be read, for many good pictures have bad EXIF."""
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:
        return 1
