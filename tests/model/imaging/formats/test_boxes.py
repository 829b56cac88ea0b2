"""HEIC and AVIF: what their headers promise is held against what is decoded."""

import struct
import time

import numpy as np
import pytest
from PIL import Image

from model.errors import ImageError, ImageTooLarge, UndecodableImage
from model.imaging.decoding import ImageLimits, decode
from model.imaging.formats.boxes import count_coded_pixels
from model.imaging.formats.samples import SAMPLES
from model.imaging.preprocessing import PreprocessingConfig
from tests.drawing import encode, portrait
from tests.model.support.pictures import difference, grey_values, several

CONFIG = PreprocessingConfig()
PICTURE = portrait(1, size=(320, 256))
FORMS: dict[str, tuple[str, str, dict[str, object]]] = {
    "HEIC": ("HEIF", "RGB", {"quality": 90}),
    "HEIC of tiles": ("HEIF", "RGB", {"quality": 90, "tile_size": 64}),
    "grey HEIC": ("HEIF", "L", {"quality": 90}),
    "transparent HEIC": ("HEIF", "RGBA", {"quality": 90}),
    "deep HEIC": ("HEIF", "I;16", {"quality": 90}),
    "AVIF": ("AVIF", "RGB", {"quality": 90}),
    "grey AVIF": ("AVIF", "L", {"quality": 90}),
    "transparent AVIF": ("AVIF", "RGBA", {"quality": 90}),
    "AVIF without subsampling": ("AVIF", "RGB", {"quality": 90, "subsampling": "4:4:4"}),
}


def file_of(form: str) -> bytes:
    kind, mode, options = FORMS[form]
    if mode == "I;16":
        deep = Image.fromarray(np.asarray(PICTURE.convert("L")).astype(np.uint16) * 257)
        return encode(deep, kind, **options)
    return encode(PICTURE.convert(mode), kind, **options)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_decoded(form: str) -> None:
    data = file_of(form)
    photo = decode(data, CONFIG)
    assert (photo.format, photo.width_px, photo.height_px) == (FORMS[form][0], 320, 256)
    assert difference(np.asarray(photo.grey), grey_values(PICTURE)) < 3
    assert count_coded_pixels(data) == 320 * 256


def test_transparency_is_laid_over_white() -> None:
    clear = PICTURE.convert("RGBA")
    clear.putalpha(0)
    for kind in ("HEIF", "AVIF"):
        assert np.asarray(decode(encode(clear, kind, quality=90), CONFIG).grey).min() > 250


def test_animated_avif_gives_its_first_picture() -> None:
    photo = decode(several("AVIF", PICTURE, portrait(2, size=PICTURE.size)), CONFIG)
    assert difference(np.asarray(photo.grey), grey_values(PICTURE)) < 5


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
@pytest.mark.parametrize("quarters", range(4))
def test_turns_are_anticlockwise_quarters(kind: str, quarters: int) -> None:
    """ISO/IEC 23008-12, 6.5.10."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(PICTURE, kind, exif=exif.tobytes(), quality=90)
    at = data.index(b"irot") + 4
    turned = decode(data[:at] + bytes([quarters]) + data[at + 1 :], CONFIG)
    assert difference(np.asarray(turned.grey), grey_values(PICTURE.rotate(90 * quarters, expand=True))) < 3


def test_exif_alone_does_not_turn_heic() -> None:
    """It has a property for that, which its pictures always need."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(PICTURE, "HEIF", exif=exif.tobytes(), quality=90)
    assert decode(data, CONFIG).width_px == 256
    assert decode(data.replace(b"irot", b"free"), CONFIG).width_px == 320


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
@pytest.mark.parametrize("tenths", range(1, 10))
def test_truncated_file_is_refused(kind: str, tenths: int) -> None:
    data = encode(PICTURE, kind)
    with pytest.raises(UndecodableImage):
        decode(data[: len(data) * tenths // 10], CONFIG)


def stating(data: bytes, width_px: int, height_px: int) -> bytes:
    """A file that states another size of its picture."""
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", width_px, height_px) + data[at + 8 :]


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
def test_stated_size_is_judged_before_decoding(kind: str) -> None:
    with pytest.raises(ImageTooLarge):
        decode(stating(encode(PICTURE, kind), 8001, 8000), CONFIG)


def test_av1_frames_larger_than_stated_are_counted() -> None:
    """libavif would decode all of it, and shrink it to the stated size."""
    data = stating(encode(Image.new("RGB", (2000, 1000)), "AVIF", speed=10), 64, 64)
    assert count_coded_pixels(data) == 2_000_000
    with pytest.raises(ImageTooLarge):
        decode(data, CONFIG, ImageLimits(max_pixels=1_999_999))


def test_hevc_pictures_larger_than_stated_are_refused() -> None:
    data = stating(encode(Image.new("RGB", (2000, 1000)), "HEIF"), 64, 64)
    with pytest.raises(ImageError):
        decode(data, CONFIG)


def test_tiles_that_do_not_show_are_counted() -> None:
    """The grid states a small picture, and its tiles are decoded all the same."""
    data = encode(PICTURE, "HEIF", tile_size=64)
    assert count_coded_pixels(data) == 5 * 4 * 64 * 64
    areas = data.count(b"ispe")
    assert areas == 2  # of the tiles, and of the whole
    whole = data.rindex(b"ispe") + 8
    small = data[:whole] + struct.pack(">II", 64, 64) + data[whole + 8 :]
    assert count_coded_pixels(small) == 5 * 4 * 64 * 64


@pytest.mark.parametrize("form", FORMS)
def test_damaged_indexes_are_read_or_refused_quickly(form: str) -> None:
    data = bytearray(file_of(form))
    draws, started = np.random.default_rng(5), time.process_time()
    for _ in range(300):
        changed = bytearray(data)
        for at in draws.integers(0, min(len(data), 900), 4):
            changed[at] = draws.integers(0, 256)
        try:
            assert count_coded_pixels(bytes(changed)) >= 0
        except UndecodableImage:
            continue
    assert time.process_time() - started < 60


def test_samples_decode() -> None:
    for kind, sample in SAMPLES.items():
        assert decode(sample, CONFIG).format == kind
