"""All formats and modes give the same photo, in grey and in colour."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from model.imaging.crops import resize
from model.imaging.decoding import decode
from model.imaging.preprocessing import Alignment, PreprocessingConfig
from model.networks.embedder import normalise, to_unit
from tests.drawing import encode, portrait
from tests.model.support.pictures import deep_png, difference, grey_values, prepare, several
from training.learning.experiments import LEARNED_ALIGNMENT, LFW_ALIGNMENT, SMOOTH_ALIGNMENT

CONFIG = PreprocessingConfig()
IN_COLOUR = PreprocessingConfig(colour="rgb")
COLOUR = portrait(3)
GREY = COLOUR.convert("L")
DEEP = np.asarray(COLOUR, dtype=np.uint16) * 257
OPAQUE = np.full((*DEEP.shape[:2], 1), 65535, dtype=np.uint16)
DEEP_GREY = np.asarray(GREY, dtype=np.uint16)[..., None] * 257

# name: (the file's bytes, the allowed mean difference in grey levels)
FILES: dict[str, tuple[bytes, float]] = {
    "jpeg": (encode(COLOUR, "JPEG", quality=95), 1.0),
    "jpeg-progressive": (encode(COLOUR, "JPEG", quality=95, progressive=True), 1.0),
    "jpeg-grey": (encode(GREY, "JPEG", quality=95), 1.0),
    "jpeg-cmyk": (encode(COLOUR.convert("CMYK"), "JPEG", quality=95), 1.5),
    "jpeg-mpo": (several("MPO", COLOUR, portrait(4)), 2.0),
    "png": (encode(COLOUR), 0),
    "png-grey": (encode(GREY), 0),
    "png-palette": (encode(COLOUR.quantize(256)), 1.0),
    "png-grey-alpha": (encode(GREY.convert("LA")), 0),
    "png-alpha": (encode(COLOUR.convert("RGBA")), 0),
    "png-16-bit-grey": (deep_png(DEEP_GREY), 0),
    "png-16-bit-grey-alpha": (deep_png(np.concatenate([DEEP_GREY, OPAQUE], axis=2)), 0),
    "png-16-bit": (deep_png(DEEP), 0),
    "png-16-bit-alpha": (deep_png(np.concatenate([DEEP, OPAQUE], axis=2)), 0),
    "png-animated": (several("PNG", COLOUR, portrait(4)), 0),
    "webp": (encode(COLOUR, "WEBP", quality=95), 2.0),
    "webp-lossless": (encode(COLOUR, "WEBP", lossless=True), 0),
    "webp-alpha": (encode(COLOUR.convert("RGBA"), "WEBP", lossless=True), 0),
    "webp-animated": (several("WEBP", COLOUR, portrait(4)), 2.0),
}


@pytest.mark.parametrize("name", FILES)
def test_every_format_and_mode_gives_the_same_grey_photo(name: str) -> None:
    data, tolerance = FILES[name]
    photograph = decode(data, CONFIG)
    assert photograph.grey.mode == "L"
    assert photograph.format == name.partition("-")[0].upper()
    assert (photograph.width_px, photograph.height_px) == photograph.grey.size == COLOUR.size
    assert difference(np.asarray(photograph.grey), grey_values(COLOUR)) <= tolerance


@pytest.mark.parametrize("name", FILES)
def test_every_format_and_mode_gives_the_same_colour_photo(name: str) -> None:
    data, tolerance = FILES[name]
    photograph = decode(data, IN_COLOUR)
    expected = COLOUR.convert("L").convert("RGB") if "grey" in name else COLOUR
    assert photograph.picture.mode == "RGB"
    assert photograph.picture.size == COLOUR.size
    assert difference(np.asarray(photograph.picture), np.asarray(expected)) <= 4 * tolerance
    assert np.array_equal(np.asarray(photograph.grey), np.asarray(decode(data, CONFIG).grey))


def test_colours_become_channels() -> None:
    prepared = prepare(encode(COLOUR), IN_COLOUR)
    assert prepared.shape == (105, 105, 3)
    unit = to_unit(torch.from_numpy(prepared[None]))
    assert unit.shape == (1, 3, 105, 105)
    assert float(unit[0, 2, 5, 7]) == pytest.approx(prepared[5, 7, 2] / 255)
    assert normalise(unit, IN_COLOUR).shape == unit.shape


def test_bilevel_images_are_decoded() -> None:
    picture = GREY.convert("1")
    assert np.array_equal(np.asarray(decode(encode(picture), CONFIG).grey), np.asarray(picture) * 255)


def test_16_bits_become_8_without_saturation() -> None:
    values = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64, 1)
    found = np.asarray(decode(deep_png(values), CONFIG).grey).astype(float)
    assert np.abs(found - values[..., 0] / 257).max() <= 1


def test_reduced_jpeg_looks_like_the_full_one() -> None:
    picture = portrait(5, size=(2400, 1800))
    photograph = decode(encode(picture, "JPEG", quality=95), CONFIG)
    assert (photograph.width_px, photograph.height_px) == (2400, 1800)
    assert photograph.grey.width < 2400
    whole = Image.fromarray(grey_values(picture)).resize((105, 105), Image.Resampling.BILINEAR)
    found = resize(photograph, CONFIG).astype(int)
    assert np.abs(found - np.asarray(whole)).max() <= 3


@pytest.mark.parametrize("side_px", [66, 105, 200])
def test_resize_gives_a_square_of_the_configured_side(side_px: int) -> None:
    config = PreprocessingConfig(side_px=side_px)
    pixels = prepare(encode(portrait(1, size=(90, 140))), config)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (side_px, side_px)


def test_resize_is_antialiased() -> None:
    checkers: NDArray[np.uint8] = (np.indices((420, 420)).sum(axis=0) % 2 * 255).astype(np.uint8)
    pixels = prepare(encode(Image.fromarray(checkers)), CONFIG)
    assert np.abs(pixels.astype(float) - 127.5).max() <= 2


def test_prepare_decodes_and_resizes() -> None:
    data = FILES["jpeg"][0]
    assert np.array_equal(prepare(data, CONFIG), resize(decode(data, CONFIG), CONFIG))


def loop(pixels: torch.Tensor, value: Callable[[int], float]) -> list[float]:
    return [value(int(pixel)) for pixel in pixels.flatten()]


@pytest.mark.parametrize(("mean", "std"), [(0.5, 0.5), (0.4, 0.2)])
def test_to_unit_and_normalise_equal_a_loop(mean: float, std: float) -> None:
    pixels = torch.arange(256, dtype=torch.uint8).reshape(4, 8, 8)
    unit = to_unit(pixels)
    normal = normalise(unit, PreprocessingConfig(mean=mean, std=std))
    assert unit.dtype == normal.dtype == torch.float32
    assert unit.shape == normal.shape == (4, 1, 8, 8)
    assert unit.flatten().tolist() == pytest.approx(loop(pixels, lambda x: x / 255), abs=1e-6)
    assert normal.flatten().tolist() == pytest.approx(loop(pixels, lambda x: (x / 255 - mean) / std), abs=1e-5)


def test_black_is_minus_one_and_white_is_one() -> None:
    normal = normalise(to_unit(torch.tensor([[[0, 255]]], dtype=torch.uint8)), CONFIG)
    assert normal.flatten().tolist() == [-1.0, 1.0]


def test_crop_takes_the_middle_of_the_photo() -> None:
    image = Image.new("L", (200, 100), 0)
    image.paste(255, (50, 25, 150, 75))
    config = PreprocessingConfig(side_px=50, crop=0.5)
    assert (prepare(encode(image), config)[1:-1, 1:-1] == 255).all()
    assert prepare(encode(image), PreprocessingConfig(side_px=50)).mean() < 70


def test_standardised_crops_have_mean_0_and_deviation_1() -> None:
    config = PreprocessingConfig(standardised=True)
    image = torch.rand(1, 1, 105, 105, generator=torch.Generator().manual_seed(0))
    dark = normalise(torch.cat([image, image * 0.5 + 0.1]), config)
    assert dark.mean(dim=(1, 2, 3)).abs().max() < 1e-5
    assert torch.allclose(dark.std(dim=(1, 2, 3), correction=0), torch.ones(2), atol=1e-4)
    assert torch.allclose(dark[0], dark[1], atol=1e-4)
    assert normalise(torch.full((1, 1, 4, 4), 0.5), config).abs().max() == 0


def test_later_fields_are_omitted_at_their_defaults() -> None:
    assert PreprocessingConfig().model_dump().keys().isdisjoint({"crop", "standardised"})
    changed = PreprocessingConfig(crop=0.5, standardised=True)
    assert changed.model_dump()["crop"] == 0.5
    assert PreprocessingConfig.model_validate_json(changed.model_dump_json()) == changed


def test_settled_refinement_is_omitted() -> None:
    assert "refinement" not in LFW_ALIGNMENT.model_dump()
    for other in (SMOOTH_ALIGNMENT, LEARNED_ALIGNMENT):
        assert Alignment.model_validate_json(other.model_dump_json()) == other


@pytest.mark.parametrize("changed", [{"refinement": "learned"}, {"landmarks_sha256": "0" * 64}])
def test_learned_refinement_and_a_landmark_network_go_together(changed: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="landmarks_sha256"):
        Alignment.model_validate(LFW_ALIGNMENT.model_dump() | changed)
