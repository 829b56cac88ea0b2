"""JPEGs that lost bytes and still decode: their blocks have means that no encoder writes."""

import numpy as np
import pytest
from PIL import Image

from model.errors import UndecodableImage
from model.imaging.decoding import decode
from model.imaging.formats import jpeg
from model.imaging.preprocessing import PreprocessingConfig
from tests.drawing import encode

CONFIG = PreprocessingConfig(colour="rgb")


def motley(side: int) -> Image.Image:
    """Fields of all colours and lights, with noise."""
    draws = np.random.default_rng(2)
    fields = np.kron(draws.integers(0, 256, (side // 16, side // 16, 3)), np.ones((16, 16, 1)))
    return Image.fromarray((fields + draws.normal(0, 10, (side, side, 3))).clip(0, 255).astype(np.uint8))


def with_losses(data: bytes) -> list[bytes]:
    """The file without one byte of its pixels, in 400 places: a transfer in text mode loses carriage returns."""
    start, end = data.index(b"\xff\xda") + 14, len(data) - 200
    return [data[:at] + data[at + 1 :] for at in range(start, end, (end - start) // 400)]


def count_told(files: list[bytes]) -> int:
    """How many are refused as changed in text mode. Some others lack pixels, and are refused for that."""
    told = 0
    for each in files:
        try:
            decode(each, CONFIG)
        except UndecodableImage as error:
            told += "as if it were text" in str(error)
    return told


@pytest.mark.parametrize("quality", [60, 90, 97, 100])
@pytest.mark.parametrize("form", [{}, {"subsampling": 0}, {"optimize": True}], ids=str)
def test_lost_bytes_show_in_colours_that_no_encoder_writes(quality: int, form: dict[str, object]) -> None:
    data = encode(motley(96), "JPEG", quality=quality, **form)
    assert count_told([data]) == 0
    assert count_told(with_losses(data.replace(b"\r\n", b"\r\x0b"))) >= 20
    # With line ends of both kinds nothing replaced them, so other damage is taken as the picture that it gives.
    kept = data[:2] + b"\xff\xfe\x00\x07\r\nx\n" + b"\n" + data[2:]
    assert count_told(with_losses(kept)) == 0


def saturated(mode: str) -> list[Image.Image]:
    """Pictures with as many pixels at the ends of the scale as can be, and the edges between them."""
    draws = np.random.default_rng(5)
    noise = draws.integers(0, 2, (120, 120, 3)).astype(np.uint8) * 255
    blocks = np.kron(draws.integers(0, 2, (15, 15, 3)), np.ones((8, 8, 1))).astype(np.uint8) * 255
    colours = ["red", "lime", "blue", "black", "white", "cyan", "magenta", "yellow"]
    pictures = [Image.new("RGB", (96, 96), colour) for colour in colours]
    return [each.convert(mode) for each in (*pictures, Image.fromarray(noise), Image.fromarray(blocks))]


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("quality", [5, 50, 75, 90, 97, 100])
@pytest.mark.parametrize("form", [{}, {"progressive": True}], ids=str)
def test_sound_pictures_of_extreme_colours_are_taken(mode: str, quality: int, form: dict[str, object]) -> None:
    for picture in saturated(mode):
        decode(encode(picture, "JPEG", quality=quality, **form), CONFIG)


@pytest.mark.parametrize("quality", [50, 90])
def test_colours_stored_as_rgb_are_taken(quality: int) -> None:
    for picture in saturated("RGB"):
        decode(encode(picture, "JPEG", quality=quality, keep_rgb=True), CONFIG)


def test_means_are_shown_divided_by_their_steps() -> None:
    picture = Image.fromarray(np.kron(np.arange(0, 256, 16).reshape(4, 4), np.ones((8, 8))).astype(np.uint8))
    data = encode(picture, "JPEG", quality=75)
    means, steps = jpeg.isolate_means(data)
    assert steps == [8]
    expected = 128 + np.round((np.asarray(picture, np.float64) - 128) / 8)
    assert np.abs(np.asarray(decode(means, PreprocessingConfig()).grey) - expected).max() <= 1


@pytest.mark.parametrize("cut", ["no table", "half a table"])
def test_files_without_tables_are_not_examined(cut: str) -> None:
    data = encode(Image.new("RGB", (64, 64)), "JPEG")
    at = data.index(b"\xff\xdb")
    kept = data[:at] if cut == "no table" else data[: at + 2] + b"\0\x08" + data[at + 4 : at + 10]
    with pytest.raises(ValueError, match="table"):
        jpeg.isolate_means(kept + data[data.index(b"\xff\xc0") :])
