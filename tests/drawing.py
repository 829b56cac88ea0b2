"""Drawn stand-ins for photos, since the repository has no real faces."""

import io
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image, ImageDraw
from PIL.Image import Transpose
from PIL.PngImagePlugin import PngInfo

# The same options as where photographs are decoded.
pillow_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)

# How a file of each EXIF orientation stores an upright picture.
STORED = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}


def portrait(person: int, picture: int = 1, size: tuple[int, int] = (160, 160)) -> Image.Image:
    """A colour picture of a drawn person: `person` decides the features, `picture` small changes of them."""
    draws = np.random.default_rng([person, 7])
    shade = np.random.default_rng([person, picture, 11])
    image = Image.new("RGB", size, tuple(int(v) for v in shade.integers(40, 90, 3)))
    pen = ImageDraw.Draw(image)
    width, height = size
    shift = int(shade.integers(-3, 4))
    skin = tuple(int(v) for v in draws.integers(120, 230, 3))
    pen.ellipse((width * 0.2 + shift, height * 0.12, width * 0.8 + shift, height * 0.9), fill=skin)
    eye = float(draws.uniform(0.03, 0.08))
    apart = float(draws.uniform(0.1, 0.18))
    for side in (-1, 1):
        x, y = width * (0.5 + side * apart) + shift, height * 0.42
        pen.ellipse((x - width * eye, y - height * eye, x + width * eye, y + height * eye), fill=(15, 15, 25))
    mouth = float(draws.uniform(0.08, 0.2))
    top, bottom = height * 0.68, height * (0.70 + float(draws.uniform(0.02, 0.08)))
    pen.rectangle((width * (0.5 - mouth) + shift, top, width * (0.5 + mouth) + shift, bottom), fill=(120, 30, 40))
    return image


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The bytes of a file with the picture."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def encode_oriented(image: Image.Image, orientation: int, kind: str = "PNG", **options: Any) -> bytes:
    """The bytes of a file that stores the picture in an EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(image.transpose(STORED[orientation]), kind, exif=exif.tobytes(), **options)


def encode_oriented_by_xmp(image: Image.Image, orientation: int, kind: str = "PNG", **options: Any) -> bytes:
    """As `encode_oriented`, but stated in XMP."""
    xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'
    if kind == "PNG":
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp)
    else:
        options["xmp"] = xmp.encode()
    return encode(image.transpose(STORED[orientation]), kind, **options)
