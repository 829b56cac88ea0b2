"""From the bytes of an image file to a photo: upright, 8 bits, grey and optionally in colour."""

import io
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Literal

import numpy as np
from PIL import Image, ImageChops
from PIL.Image import Transpose

from model.arrays import Pixels, Points
from model.errors import ImageTooDemanding, ImageTooLarge, ImageTooSmall, UndecodableImage
from model.imaging.block_means import has_impossible_means
from model.imaging.formats import jpeg, orientation, png
from model.imaging.formats.boxes import count_coded_pixels
from model.imaging.formats.recognition import Format, sniff
from model.imaging.preprocessing import PreprocessingConfig

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
# Where a PNG says how many bits a value has.
PNG_DEPTH = 24
# What the decoder makes of missing pixels (the last two in CMYK, stored as such and as YCCK), and bytes that it would
# make others of.
GREY = {128, (128, 128, 128), (127, 127, 127, 127), (128, 128, 128, 127)}
FILLING = bytes([0x5A, 0xC3, 0x96, 0x3C]) * 16
MSG_TOO_DEMANDING = "the image takes more memory than decoding may; send a smaller one, or as JPEG"
MSG_NO_END = "the file ends without its end mark and may have been cut off; send the original if you have it"


@dataclass(frozen=True, kw_only=True)
class ImageLimits:
    """What `decode` refuses, judged by the header before any pixel is decoded."""

    max_pixels: int = 64_000_000
    min_side_px: int = 32


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A decoded image: upright and possibly reduced. `width_px` and `height_px` are the full upright size.

    Faces are detected in `grey` (mode L); crops are taken from `picture`, which is `grey` or RGB. A pixel of them is
    `reduction` pixels of the image wide, and the first one begins at `origin` (x, y), which is not 0 if the last pixels
    of a row or column in the file are incomplete and come first in the upright picture.
    `orientation` is how the file stores the upright picture (Exif), which was applied; 1 for HEIC and AVIF, whose
    decoders apply it everywhere.
    `warnings` are about the file.
    """

    grey: Image.Image
    picture: Image.Image
    format: Format
    width_px: int
    height_px: int
    orientation: int = 1
    reduction: float = 1.0
    origin: tuple[float, float] = (0.0, 0.0)
    warnings: tuple[str, ...] = ()

    @cached_property
    def grey_pixels(self) -> Pixels:
        """`grey` as uint8 (H, W), not to be changed."""
        return np.asarray(self.grey)

    def in_image(self, points: Points) -> Points:
        """Points of the decoded picture, float64 (N, 2), in pixels of the upright image."""
        return points * self.reduction + self.origin


@dataclass(frozen=True, kw_only=True)
class _File:
    """What is given to Pillow. `end` is where a JPEG's data ends; an `orientation` of None stands in the file."""

    kind: Format
    data: bytes
    orientation: int | None = None
    end: int = 0
    ended: bool = True

    @property
    def damaged(self) -> UndecodableImage:
        """The error of a file that cannot be decoded."""
        return UndecodableImage(f"the {self.kind} data is truncated or damaged")


def decode(data: bytes, config: PreprocessingConfig, limits: ImageLimits | None = None) -> Photo:
    """The bytes of a JPEG, PNG, WebP, HEIC or AVIF file -> a photo.

    The stated orientation is applied, transparency becomes white, 16 bits become 8, and an animation gives its first
    frame. Raises EmptyImage, UnsupportedImage, UndecodableImage, ImageTooLarge, ImageTooSmall or ImageTooDemanding.
    """
    limits = limits or ImageLimits()
    file = _examine(data, limits)
    image = _open(file, limits)
    _check_size(*image.size, limits)
    width, height = image.size
    try:
        image, reduction = _load(image, file.kind, config)
        if file.kind == "HEIF":
            width, height = image.size  # its header can state another size
        if file.kind == "JPEG":
            _require_all_pixels(image, file, config)
        if file.kind == "PNG":
            _scale_clear_grey(image, data)
        turned = _orientation(image, file)
        image = _flatten(image, "RGB" if config.colour == "rgb" else "L")  # also frees the file's decoder
        picture = _upright(image, turned)
        grey = picture if picture.mode == "L" else picture.convert("L")
        damaged = file.kind == "JPEG" and jpeg.may_be_text(data) and has_impossible_means(data, picture)
    except MemoryError as error:
        raise ImageTooDemanding(MSG_TOO_DEMANDING) from error
    except Exception as error:  # damaged bytes raise many types of exceptions
        raise file.damaged from error
    if damaged:
        raise UndecodableImage(jpeg.MSG_TEXT)
    if turned in SIDEWAYS:
        width, height = height, width
    return Photo(
        grey=grey,
        picture=picture,
        format=file.kind,
        width_px=width,
        height_px=height,
        orientation=1 if file.kind == "AVIF" else turned,
        reduction=reduction,
        origin=(
            width - grey.width * reduction if turned in MIRRORED_X else 0.0,
            height - grey.height * reduction if turned in MIRRORED_Y else 0.0,
        ),
        warnings=() if file.ended else (MSG_NO_END,),
    )


def _examine(data: bytes, limits: ImageLimits) -> _File:
    """What can be judged without decoding. Raises as `decode` does."""
    file = _File(kind=sniff(data), data=data)
    if file.kind == "JPEG":
        jpeg.require_binary(data)
        end = jpeg.find_end(data)
        cut = data.rstrip(b"\xff")
        return replace(
            file,
            data=cut + jpeg.END_MARK if end is None else data,
            orientation=orientation.of_jpeg(data),
            end=len(cut) if end is None else end,
            ended=end is not None,
        )
    if file.kind == "PNG":
        parts = png.split(data)
        return replace(file, data=parts.pixels, orientation=orientation.of_png(parts.descriptions), ended=parts.ended)
    if file.kind in ("HEIF", "AVIF") and count_coded_pixels(data) > limits.max_pixels:
        raise ImageTooLarge(_too_large(limits))
    if file.kind == "HEIF":
        return replace(file, orientation=1)  # its decoder applies it
    if file.kind == "AVIF":
        return replace(file, data=data[:8] + b"avif" + data[12:])  # of an animation the still picture
    return file


def _open(file: _File, limits: ImageLimits) -> Image.Image:
    """Reads the header alone. Raises UndecodableImage or ImageTooLarge."""
    try:
        if file.kind in ("HEIF", "AVIF"):
            _prepare_plugins(file.kind)
        return Image.open(io.BytesIO(file.data), formats=[file.kind])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge(_too_large(limits)) from error
    except MemoryError as error:
        raise ImageTooDemanding(MSG_TOO_DEMANDING) from error
    except Exception as error:  # damaged bytes make Pillow's parsers raise many types of exceptions
        raise UndecodableImage(f"the {file.kind} header is damaged") from error


@cache
def _prepare_plugins(kind: Literal["HEIF", "AVIF"]) -> None:
    """They are loaded by processes that decode, and use one thread: several images are decoded at once."""
    if kind == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)
    else:
        from PIL import AvifImagePlugin

        AvifImagePlugin.DEFAULT_MAX_THREADS = 1


def _check_size(width_px: int, height_px: int, limits: ImageLimits) -> None:
    if width_px * height_px > limits.max_pixels:
        raise ImageTooLarge(_too_large(limits))
    if min(width_px, height_px) < limits.min_side_px:
        raise ImageTooSmall(f"the image is {width_px}x{height_px}; each side needs {limits.min_side_px} pixels or more")


def _too_large(limits: ImageLimits) -> str:
    return f"the image has more than {limits.max_pixels:,} pixels; send a smaller one"


def _load(image: Image.Image, kind: Format, config: PreprocessingConfig) -> tuple[Image.Image, float]:
    """Decodes the pixels, of a large JPEG at a reduced size, which takes less time and memory.

    Returns the picture, and the sides of its pixels in pixels of the file.
    """
    least_px, width = config.draft_margin * config.side_px, image.width
    drafted = image.draft(None, (least_px, least_px)) if kind == "JPEG" else None
    image.load()
    return image, width / drafted[1][2] if drafted else 1.0  # the decoder rounds the size up, the box is exact


def _require_all_pixels(image: Image.Image, file: _File, config: PreprocessingConfig) -> None:
    """Raises ValueError if the data of a JPEG ends before its pixels, which are then grey, or goes on behind them.

    Further data then changes the picture, or less data does not. That is tried only without an end mark, or if the last
    pixel is grey: programs that cut files off close them with an end mark. And where bytes may have been lost.
    """
    doubtful = jpeg.may_lack_bytes(file.data)
    if file.ended and not doubtful and image.getpixel((image.width - 1, image.height - 1)) not in GREY:
        return
    if not file.ended and not jpeg.has_all_scans(file.data):
        raise ValueError("scans are missing")
    data = file.data[: file.end]
    if ImageChops.difference(image, _decode_again(data + FILLING, config)).getbbox():
        raise ValueError("pixels are missing")
    less = data[: -len(FILLING)]
    if doubtful and not ImageChops.difference(image, _decode_again(less, config)).getbbox():
        raise ValueError("there is data for further pixels")


def _decode_again(data: bytes, config: PreprocessingConfig) -> Image.Image:
    image = Image.open(io.BytesIO(data + jpeg.END_MARK), formats=["JPEG"])
    return _load(image, "JPEG", config)[0]


def _scale_clear_grey(image: Image.Image, data: bytes) -> None:
    """Pillow scales greys of 2 and 4 bits to 8, but not the one that is transparent."""
    bits, clear = data[PNG_DEPTH], image.info.get("transparency")
    if image.mode == "L" and bits in (2, 4) and isinstance(clear, int):
        image.info["transparency"] = clear * 255 // (2**bits - 1)


def _flatten(image: Image.Image, mode: Literal["L", "RGB"]) -> Image.Image:
    """Any mode of the formats -> grey or RGB on white."""
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


def _orientation(image: Image.Image, file: _File) -> int:
    """1 to 8. Pillow puts an AVIF file's own turn in its EXIF data, which alone counts there."""
    if file.orientation is not None:
        return file.orientation
    xmp = [image.info["xmp"]] if "xmp" in image.info and file.kind != "AVIF" else []
    return orientation.first_stated([image.info.get("exif", b"")], xmp)
