"""From the bytes of an image file to a photo: upright, 8 bits, grey and optionally in colour.

Besides the pixels, the parts of a file are limited, since a small file can have enough of them to take minutes (JPEG:
ITU-T T.81, annex B; PNG: W3C, Portable Network Graphics, third edition, 5).
"""

import io
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image
from PIL.Image import Transpose

from model.arrays import Points
from model.errors import (
    EmptyImage,
    ImageTooDemanding,
    ImageTooLarge,
    ImageTooSmall,
    UndecodableImage,
    UnsupportedImage,
)
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
# The orientations in which the upright picture's left side, or its top, is at the end of the file's rows or columns.
MIRRORED_X, MIRRORED_Y = (2, 3, 6, 7), (3, 4, 7, 8)
# A progressive JPEG has about ten scans. Each can have as little as a few bytes, and decodes all pixels again.
MAX_SCANS = 100
# Segments, chunks and stray bytes: a photo has a few dozen, and Pillow handles each of them in Python.
MAX_PARTS = 20_000

MSG_TOO_DEMANDING = "the image takes more memory than decoding may; send a smaller one, or as JPEG"

MARKER = re.compile(rb"\xff[^\x00\xff]")
# A scan's data contains stuffed zeros and restart markers; any other marker ends it.
MARKER_AFTER_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
# Markers after which Pillow reads no length.
MARKERS_WITHOUT_LENGTH = {0x01, 0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xFE)}
FRAME_HEADERS = {*range(0xC0, 0xD0), 0xDE} - {0xC4, 0xC8, 0xCC}
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
PNG_SIGNATURE_BYTES, PNG_CHUNK_BYTES = 8, 12
# The standard allows one of each. Pillow decompresses every colour profile, to as much as a megabyte.
UNIQUE_CHUNKS = {b"iCCP", b"eXIf"}


@dataclass(frozen=True, kw_only=True)
class ImageLimits:
    """What `decode` refuses, judged by the header before any pixel is decoded."""

    max_pixels: int = 50_000_000
    min_side_px: int = 32


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A decoded image: upright and possibly reduced. `width_px` and `height_px` are the full upright size.

    Faces are detected in `grey` (mode L); crops are taken from `picture`, which is `grey` or RGB. A pixel of them is
    `reduction` pixels of the image wide, and the first one begins at `origin` (x, y), which is not 0 if the last pixels
    of a row or column in the file are incomplete and come first in the upright picture.
    """

    grey: Image.Image
    picture: Image.Image
    format: Format
    width_px: int
    height_px: int
    reduction: float = 1.0
    origin: tuple[float, float] = (0.0, 0.0)

    def in_image(self, points: Points) -> Points:
        """Points of the decoded picture, float64 (N, 2), in pixels of the upright image."""
        return points * self.reduction + self.origin


def decode(data: bytes, config: PreprocessingConfig, limits: ImageLimits | None = None) -> Photo:
    """The bytes of a JPEG, PNG or WebP file -> a photo.

    EXIF orientation is applied, transparency becomes white, 16 bits become 8, and an animation gives its first frame.
    Raises EmptyImage, UnsupportedImage, UndecodableImage, ImageTooLarge, ImageTooSmall or ImageTooDemanding.
    """
    kind = sniff(data)
    limits = limits or ImageLimits()
    if kind == "JPEG":
        _require_few_scans(data)
    elif kind == "PNG":
        _require_few_chunks(data)
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=[kind])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge(_too_large(limits)) from error
    except MemoryError as error:
        raise ImageTooDemanding(MSG_TOO_DEMANDING) from error
    except Exception as error:  # damaged bytes make Pillow's parsers raise many types of exceptions
        raise UndecodableImage(f"the {kind} header is damaged") from error
    width, height = image.size
    _check_size(width, height, limits)
    try:
        if kind == "PNG":
            Image.open(io.BytesIO(data), formats=[kind]).verify()  # load() does not check the pixels' checksums
        image, reduction = _load(image, config)
        orientation = _orientation(image)
        image = _flatten(image, "RGB" if config.colour == "rgb" else "L")  # also frees the file's decoder
        picture = _upright(image, orientation)
        grey = picture if picture.mode == "L" else picture.convert("L")
    except MemoryError as error:
        raise ImageTooDemanding(MSG_TOO_DEMANDING) from error
    except Exception as error:  # as above: OSError, ValueError, SyntaxError, OverflowError, struct.error
        raise UndecodableImage(f"the {kind} data is truncated or damaged") from error
    if orientation in SIDEWAYS:
        width, height = height, width
    return Photo(
        grey=grey,
        picture=picture,
        format=kind,
        width_px=width,
        height_px=height,
        reduction=reduction,
        origin=(
            width - grey.width * reduction if orientation in MIRRORED_X else 0.0,
            height - grey.height * reduction if orientation in MIRRORED_Y else 0.0,
        ),
    )


def sniff(data: bytes) -> Format:
    """The format by the first bytes. Raises EmptyImage or UnsupportedImage."""
    if not data:
        raise EmptyImage("the image has no bytes; send a JPEG, PNG or WebP file")
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    raise UnsupportedImage("the image is not JPEG, PNG or WebP; convert it to one of them")


def _check_size(width_px: int, height_px: int, limits: ImageLimits) -> None:
    if width_px * height_px > limits.max_pixels:
        raise ImageTooLarge(_too_large(limits))
    if min(width_px, height_px) < limits.min_side_px:
        raise ImageTooSmall(f"the image is {width_px}x{height_px}; each side needs {limits.min_side_px} pixels or more")


def _too_large(limits: ImageLimits) -> str:
    return f"the image has more than {limits.max_pixels:,} pixels; send a smaller one"


def _load(image: Image.Image, config: PreprocessingConfig) -> tuple[Image.Image, float]:
    """Decodes the pixels, of a large JPEG at a reduced size, which takes less time and memory.

    Returns the picture, and the sides of its pixels in pixels of the file.
    """
    least_px, width = config.draft_margin * config.side_px, image.width
    drafted = image.draft(None, (least_px, least_px))
    image.load()
    return image, width / drafted[1][2] if drafted else 1.0  # the decoder rounds the size up, the box is exact


def _flatten(image: Image.Image, mode: Literal["L", "RGB"]) -> Image.Image:
    """Any mode of the three formats -> grey or RGB on white."""
    if image.mode.startswith("I"):  # 16-bit grey, which convert("L") would clip to white
        values = np.asarray(image, dtype=np.uint16)
        clear = values == image.info.get("transparency", -1)
        return Image.fromarray(np.where(clear, 255, values // 257).astype(np.uint8)).convert(mode)
    if image.has_transparency_data:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new(mode, image.size, "white")
        white.paste(image, mask=image)  # converts the colours and applies the alpha channel without a copy
        return white
    return image if image.mode == mode else image.convert(mode)


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, any integer; 1 if it cannot be read, since many intact photos have broken EXIF data."""
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:
        return 1


def _require_few_scans(data: bytes) -> None:
    """Raises UndecodableImage if a JPEG has more scans, frames, segments or stray bytes than a photo has."""
    # Pillow skips stray bytes before the first scan one at a time, and keeps the components of all frame headers.
    at, parts, frames, scans = 2, 0, 0, 0
    while parts <= MAX_PARTS:
        found = (MARKER_AFTER_SCAN if scans else MARKER).search(data, at)
        if not scans:
            parts += (found.start() if found else len(data)) - at
        if found is None or (scans and found[0][1] == END_OF_IMAGE):
            break
        parts += 1
        at = found.end()
        if found[0][1] not in MARKERS_WITHOUT_LENGTH:
            at += max(2, int.from_bytes(data[at : at + 2], "big"))
        frames += found[0][1] in FRAME_HEADERS
        scans += found[0][1] == START_OF_SCAN
        if frames > 1:
            raise UndecodableImage("the JPEG has more than one frame header; save it again with an image editor")
        if scans > MAX_SCANS:
            raise UndecodableImage(f"the JPEG has more than {MAX_SCANS} scans; save it again with an image editor")
    if parts > MAX_PARTS:
        raise UndecodableImage(
            f"the JPEG has more than {MAX_PARTS:,} segments or stray bytes; save it again with an image editor"
        )


def _require_few_chunks(data: bytes) -> None:
    """Raises UndecodableImage if a PNG has more chunks, colour profiles or EXIF chunks than a photo has."""
    at, met = PNG_SIGNATURE_BYTES, set()
    for _ in range(MAX_PARTS):
        if at >= len(data):
            return
        kind = data[at + 4 : at + 8]
        if kind in met:
            raise UndecodableImage(
                f"the PNG has more than one {kind.decode()} chunk; save it again with an image editor"
            )
        met |= {kind} & UNIQUE_CHUNKS
        at += PNG_CHUNK_BYTES + int.from_bytes(data[at : at + 4], "big")
    raise UndecodableImage(f"the PNG has more than {MAX_PARTS:,} chunks; save it again with an image editor")
