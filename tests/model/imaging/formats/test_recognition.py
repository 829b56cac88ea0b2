"""A file that is none of our formats is named, and none of its bytes are repeated."""

import base64
import re

import pytest

from model.errors import UnsupportedImage
from model.imaging.formats import recognition
from model.imaging.formats.recognition import sniff
from tests.drawing import encode, portrait

JPEG = encode(portrait(1), "JPEG")
PNG = encode(portrait(1))
SECRET = b"SECRET"

FOREIGN = {
    "GIF": (encode(portrait(1), "GIF"), "a GIF"),
    "BMP": (encode(portrait(1), "BMP"), "a BMP"),
    "TIFF": (encode(portrait(1), "TIFF"), "TIFF"),
    "JPEG 2000": (encode(portrait(1), "JPEG2000"), "JPEG 2000"),
    "icon": (encode(portrait(1), "ICO"), "an icon"),
    "JPEG XL": (b"\xff\x0a" + bytes(100), "JPEG XL"),
    "Photoshop": (b"8BPS\0\1" + SECRET, "Photoshop"),
    "PDF": (b"%PDF-1.7\n" + SECRET, "a PDF document"),
    "HTML": (b"\n<!DOCTYPE html><html><title>SECRET", "an HTML page"),
    "SVG": (b"\xef\xbb\xbf<svg xmlns='SECRET'>", "SVG"),
    "XML": (b"<?xml version='1.0'?><SECRET/>", "XML"),
    "JSON": (b'{"image": "SECRET"}', "JSON"),
    "a name": (b"first.jpg", "a file's name; send its bytes"),
    "a path": (b"C:\\Users\\Anna\\My pictures\\IMG_0001.HEIC\r\n", "a file's name"),
    "base64 of a JPEG": (base64.b64encode(JPEG), "base64 text"),
    "base64 of HEIC": (base64.b64encode(encode(portrait(1), "HEIF")), "base64 text"),
    "base64 in lines": (base64.encodebytes(SECRET * 100), "base64 text"),
    "data URI": (b"data:image/jpeg;base64," + base64.b64encode(JPEG), "a data URI"),
    "URL": (b"https://example.org/SECRET.jpg", "a URL"),
    "local URL": (b"blob:http://SECRET", "a URL"),
    "MP4": (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + SECRET, "a video"),
    "QuickTime": (b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + SECRET, "a video"),
    "WebM": (b"\x1a\x45\xdf\xa3" + SECRET, "a video"),
    "AVI": (b"RIFF\0\0\1\0AVI LIST" + SECRET, "a video"),
    "ZIP": (b"PK\3\4" + SECRET, "a ZIP archive"),
    "gzip": (b"\x1f\x8b\x08" + SECRET, "an archive"),
    "JPEG behind a line break": (b"\n" + JPEG, "behind other bytes"),
    "JPEG behind a byte-order mark": (b"\xef\xbb\xbf" + JPEG, "behind other bytes"),
    "JPEG read as UTF-8": (JPEG.decode("utf-8", "replace").encode(), "read as text"),
    "JPEG read as Latin-1": (JPEG.decode("latin-1").encode(), "read as text"),
    "PNG read as UTF-8": (PNG.decode("utf-8", "replace").encode(), "read as text"),
    "PNG with other line ends": (PNG.replace(b"\r\n", b"\n"), "as if it were text"),
    "words": (b"SECRET words", "text"),
    "noise": (b"\x07\x91SECRET", "no image that is known"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_came_is_named_and_not_repeated(name: str) -> None:
    data, words = FOREIGN[name]
    with pytest.raises(UnsupportedImage, match=words) as caught:
        sniff(data)
    assert re.fullmatch(r"this is \S.*\. Images can be JPEG, PNG, WebP, HEIC or AVIF", str(caught.value))
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIF", "AVIF"])
def test_formats_are_known_by_their_first_bytes(kind: str) -> None:
    assert sniff(encode(portrait(1), kind)[:40]) == kind


@pytest.mark.parametrize(
    ("brands", "kind"),
    [(b"mif1\0\0\0\0mif1heic", "HEIF"), (b"mif1\0\0\0\0mif1avif", "AVIF"), (b"msf1\0\0\0\0hevcmif1", "HEIF")],
)
def test_compatible_brands_count(brands: bytes, kind: str) -> None:
    assert sniff((len(brands) + 8).to_bytes(4, "big") + b"ftyp" + brands) == kind


def test_heic_without_its_package_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognition, "heif_supported", lambda: False)
    with pytest.raises(UnsupportedImage, match="this is HEIC, which needs the package pillow-heif"):
        sniff(encode(portrait(1), "HEIF"))
    assert sniff(encode(portrait(1), "AVIF")) == "AVIF"
