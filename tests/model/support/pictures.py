"""Image files that Pillow cannot write, and crops as a network sees them."""

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.arrays import Pixels
from model.imaging.analysis import analyse
from model.imaging.crops import FaceChoice
from model.imaging.decoding import ImageLimits, decode
from model.imaging.detection import FaceFinder
from model.imaging.preprocessing import PreprocessingConfig

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}


def chunk(name: bytes, data: bytes) -> bytes:
    """A PNG chunk, with its length and checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_header(width_px: int, height_px: int, depth: int = 8, colour_type: int = 0) -> bytes:
    """A PNG file's signature and its first chunk, which has the size."""
    return SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", width_px, height_px, depth, colour_type, 0, 0, 0))


def deep_png(values: NDArray[np.uint16]) -> bytes:
    """uint16 (H, W, C) -> a 16-bit PNG: grey, grey with alpha, RGB or RGBA, by the number of channels."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = png_header(width, height, 16, COLOUR_TYPES[channels])
    return header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def several(kind: str, *pictures: Image.Image) -> bytes:
    """One file with several pictures: an animation or an MPO."""
    file = io.BytesIO()
    pictures[0].save(file, kind, save_all=True, append_images=pictures[1:])
    return file.getvalue()


def grey_values(picture: Image.Image) -> Pixels:
    """uint8 (H, W): the picture's luma (ITU-R BT.601)."""
    return np.asarray(picture.convert("RGB").convert("L"))


def difference(a: NDArray[np.number], b: NDArray[np.number]) -> float:
    """The mean absolute difference of two arrays of the same shape, in grey levels."""
    assert a.shape == b.shape
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


def prepare(
    data: bytes,
    config: PreprocessingConfig,
    limits: ImageLimits | None = None,
    finder: FaceFinder | None = None,
    choice: FaceChoice = "largest",
) -> Pixels:
    """The bytes of an image -> the crop, uint8 (H, W) or (H, W, 3). Raises ImageError."""
    if config.alignment and finder is None:
        finder = FaceFinder()
    return analyse(decode(data, config, limits), choice, config, finder).pixels
