"""JPEG files that were cut off or changed on their way."""

import numpy as np
import pytest
from PIL import Image

from model.errors import UndecodableImage
from model.imaging.decoding import MSG_NO_END, decode
from model.imaging.preprocessing import PreprocessingConfig
from tests.drawing import encode, portrait
from tests.model.support.pictures import several

CONFIG = PreprocessingConfig()
END = b"\xff\xd9"
FORMS: dict[str, dict[str, object]] = {
    "sequential": {},
    "optimised": {"optimize": True},
    "halved colours": {"subsampling": 2},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3},
}


def detailed(size: tuple[int, int] = (250, 200)) -> Image.Image:
    """A drawn face with noise, so that every block has something in it."""
    noise = np.random.default_rng(3).normal(0, 12, (size[1], size[0], 3))
    return Image.fromarray((np.asarray(portrait(1, size=size)) + noise).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("form", FORMS)
def test_lack_of_the_end_mark_alone_is_a_warning(form: str, mode: str) -> None:
    data = encode(detailed().convert(mode), "JPEG", **FORMS[form])
    whole = decode(data, CONFIG)
    for cut in (data[:-2], data[:-2] + bytes(2), data[:-1]):
        photo = decode(cut, CONFIG)
        assert photo.warnings == (MSG_NO_END,)
        assert photo.grey.tobytes() == whole.grey.tobytes()
    assert whole.warnings == ()


@pytest.mark.parametrize("closed", [b"", END], ids=["open", "closed"])
@pytest.mark.parametrize("missing", [40, 1000, 5000])
@pytest.mark.parametrize("form", ["sequential", "optimised", "halved colours"])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_missing_pixels_are_refused(mode: str, form: str, missing: int, closed: bytes) -> None:
    data = encode(detailed().convert(mode), "JPEG", **FORMS[form])
    with pytest.raises(UndecodableImage, match="truncated or damaged"):
        decode(data[:-missing] + closed, CONFIG)


@pytest.mark.parametrize("missing", [40, 1000, 5000])
def test_missing_pixels_of_a_file_for_printing_are_refused(missing: int) -> None:
    """Photoshop stores CMYK as YCCK, and says so in the last byte of Adobe's segment. Pillow writes no such file."""
    data = bytearray(encode(detailed().convert("CMYK"), "JPEG"))
    data[data.index(b"Adobe") + 11] = 2
    assert decode(bytes(data), CONFIG).warnings == ()
    with pytest.raises(UndecodableImage, match="truncated or damaged"):
        decode(bytes(data[:-missing]) + END, CONFIG)


@pytest.mark.parametrize("missing", [40, 1000, 5000])
def test_missing_parts_of_a_progressive_file_are_refused(missing: int) -> None:
    data = encode(detailed(), "JPEG", progressive=True)
    with pytest.raises(UndecodableImage, match="truncated or damaged"):
        decode(data[:-missing], CONFIG)


def test_progressive_file_cut_between_scans_is_refused() -> None:
    data = encode(detailed(), "JPEG", progressive=True)
    with pytest.raises(UndecodableImage, match="truncated or damaged"):
        decode(data[: data.rindex(b"\xff\xda")], CONFIG)


@pytest.mark.parametrize("form", FORMS)
def test_grey_pictures_are_complete(form: str) -> None:
    """What is missing is decoded as this grey, and so is a picture of it."""
    data = encode(Image.new("RGB", (250, 200), (128, 128, 128)), "JPEG", **FORMS[form])
    assert decode(data, CONFIG).warnings == ()
    assert decode(data[:-2], CONFIG).warnings == (MSG_NO_END,)
    assert decode(data + b"more bytes behind the end", CONFIG).warnings == ()


def test_grey_pictures_of_two_in_one_file_are_complete() -> None:
    assert decode(several("MPO", *[Image.new("RGB", (250, 200), (128, 128, 128))] * 2), CONFIG).warnings == ()


@pytest.mark.parametrize(("old", "new"), [(b"\n", b"\r\n"), (b"\r", b"\n"), (b"\n", b"\r")])
@pytest.mark.parametrize("size", [(250, 200), (640, 480)])
def test_replaced_line_ends_are_damage(size: tuple[int, int], old: bytes, new: bytes) -> None:
    data = encode(detailed(size), "JPEG", quality=90)
    with pytest.raises(UndecodableImage):
        decode(data.replace(old, new), CONFIG)
    assert decode(data, CONFIG).warnings == ()


def test_lost_carriage_returns_are_damage() -> None:
    data = encode(detailed((1600, 1200)), "JPEG", quality=95)
    assert data.count(b"\r\n") > 1
    with pytest.raises(UndecodableImage):
        decode(data.replace(b"\r\n", b"\n"), CONFIG)


def test_flat_pictures_are_not_taken_for_damaged() -> None:
    """Their data repeats itself, so that a line end may be missing by its nature."""
    for shade in range(0, 256, 15):
        decode(encode(Image.new("RGB", (3000, 2000), (shade, 90, 40)), "JPEG"), CONFIG)
