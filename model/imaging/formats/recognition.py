"""Which format a file has, by its first bytes, and what it is instead if that is none of ours."""

import importlib.util
import re
from functools import cache
from typing import Literal

from model.errors import EmptyImage, UnsupportedImage

Format = Literal["JPEG", "PNG", "WEBP", "HEIF", "AVIF"]

TAKEN = "JPEG, PNG, WebP, HEIC or AVIF"
JPEG_SIGNATURE, PNG_SIGNATURE = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
# ISO/IEC 14496-12: a file's brands stand in its first box. An iPhone's pictures have the brands heic and mif1.
AVIF_BRANDS = {b"avif", b"avis"}
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
MAX_BRANDS = 64

# What comes instead of images, and what to do about it if that is not clear. The first that fits counts.
FOREIGN: tuple[tuple[re.Pattern[bytes], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), name)
    for pattern, name in (
        (rb"GIF8[79]a", "a GIF"),
        (rb"BM.{12}[\x0c-\x7c]\0\0\0", "a BMP"),
        (rb"II\*\0|MM\0\*|II\+\0|MM\0\+", "a TIFF, or a camera's raw picture"),
        (rb"\0\0\0\x0cjP  \r\n|\xff\x4f\xff\x51", "JPEG 2000"),
        (rb"\xff\x0a|\0\0\0\x0cJXL \r\n", "JPEG XL"),
        (rb"\0\0[\x01\x02]\0.\0", "an icon"),
        (rb"8BPS", "a Photoshop document"),
        (rb"%PDF", "a PDF document"),
        (rb"\x1a\x45\xdf\xa3|RIFF....AVI ", "a video"),
        (rb"PK\x03\x04", "a ZIP archive, or a document that is one"),
        (rb"\x1f\x8b|7z\xbc\xaf|Rar!", "an archive"),
        (rb"\x89PNG[\r\n]|PNG\r\n", "a PNG that was changed as if it were text; transfer it in binary mode"),
        (rb"(?:\xef\xbf\xbd){3}|\xc3\xbf\xc3\x98\xc3\xbf", "an image that was read as text; send its bytes"),
        (rb"(?:\xef\xbf\xbd|\xc2\x89)PNG", "an image that was read as text; send its bytes"),
        (rb"(?:\xef\xbb\xbf|\s){1,99}(?:\xff\xd8\xff|\x89PNG)", "an image behind other bytes; send the file unchanged"),
        (rb"\s*(?:\xef\xbb\xbf)?\s*<(?:!doctype html|html|head|body)", "an HTML page, and not the picture on it"),
        (rb"\s*(?:\xef\xbb\xbf)?\s*<(?:\?xml|svg)", "SVG or another XML document"),
        (rb"\s*data:[a-z]*/", "a data URI; send the bytes that it encodes"),
        (rb"\s*(?:blob:)?(?:https?|ftp|file|content)://|\s*www\.", "a URL; nothing is fetched, send the image itself"),
        (rb"[^\r\n]{1,250}\.(?:jpe?g|png|webp|hei[cf]|avif)\s*\Z", "a file's name; send its bytes, in curl by an @"),
        (rb"\s*(?:/9j/|iVBORw0KGgo|UklGR|AAAA[A-Z0-9]+mZ0eX)", "base64 text; send the bytes that it encodes"),
        (rb"[A-Za-z0-9+/_\-\r\n]{60,}={0,2}\s*\Z", "base64 text; send the bytes that it encodes"),
        (rb"\s*[{\[]", "JSON"),
    )
)  # fmt: skip
# Patterns look no further than this.
FOREIGN_BYTES = 256
TEXT = re.compile(rb"[\t\r\n\x20-\x7e\x80-\xff]+\Z")


@cache
def heif_supported() -> bool:
    """Whether the package that decodes HEIC and HEIF is installed."""
    return importlib.util.find_spec("pillow_heif") is not None


def sniff(data: bytes) -> Format:
    """The format by the first bytes. Raises EmptyImage or UnsupportedImage."""
    if not data:
        raise EmptyImage(f"the image has no bytes; send a {TAKEN} file")
    kind = _format_of(data)
    if kind is None:
        raise UnsupportedImage(f"this is {_name_foreign(data)}. Images can be {TAKEN}")
    if kind == "HEIF" and not heif_supported():
        raise UnsupportedImage(
            "this is HEIC, which needs the package pillow-heif where the service runs; send JPEG, PNG, WebP or AVIF"
        )
    return kind


def _format_of(data: bytes) -> Format | None:
    if data.startswith(JPEG_SIGNATURE):
        return "JPEG"
    if data.startswith(PNG_SIGNATURE):
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    brands = _brands(data)
    if brands & AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & HEIF_BRANDS else None


def _brands(data: bytes) -> set[bytes]:
    """The major and compatible brands of an ISO base media file; none of other files."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4], "big"), 16 + 4 * MAX_BRANDS)
    return {data[8:12], *(data[at : at + 4] for at in range(16, end, 4))}


def _name_foreign(data: bytes) -> str:
    """What the file is, without any of its bytes."""
    start = data[:FOREIGN_BYTES]
    if data[4:8] == b"ftyp" or data[4:8] in (b"moov", b"mdat", b"wide"):
        return "a video, such as MP4 or QuickTime"
    for pattern, name in FOREIGN:
        if pattern.match(start):
            return name
    return "text" if TEXT.match(start) and start.isascii() else "no image that is known here"
