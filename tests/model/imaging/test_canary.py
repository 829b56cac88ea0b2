"""The canary photo's digest covers decoding, resizing and warping, and changes with their pixels."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from model.arrays import Pixels
from model.imaging.canary import PHOTO, canary_sha256
from model.imaging.decoding import decode
from model.imaging.preprocessing import PreprocessingConfig

CONFIG = PreprocessingConfig(colour="rgb")


def test_digest_depends_on_the_crops_alone() -> None:
    assert canary_sha256(CONFIG) == canary_sha256(CONFIG.model_copy(update={"standardised": True}))
    others = [CONFIG.model_copy(update=change) for change in ({"side_px": 104}, {"colour": "grey"})]
    assert len({canary_sha256(config) for config in (CONFIG, *others)}) == 3


def test_photo_has_colours_and_edges() -> None:
    pixels = np.asarray(decode(PHOTO, CONFIG).picture, float)
    assert pixels.shape == (64, 64, 3)
    assert pixels.std(axis=(0, 1)).min() > 30
    assert np.abs(np.diff(pixels, axis=2)).mean() > 30


@pytest.mark.parametrize("changed", ["decode", "resize", "reduce", "warpAffine"])
def test_other_pixels_of_a_library_change_the_digest(monkeypatch: pytest.MonkeyPatch, changed: str) -> None:
    before = canary_sha256(CONFIG)
    if changed == "decode":
        monkeypatch.setattr("model.imaging.canary.PHOTO", PHOTO[:-40] + bytes([PHOTO[-40] ^ 1]) + PHOTO[-39:])
    elif changed == "warpAffine":
        monkeypatch.setattr(cv2, changed, spoilt(cv2.warpAffine))
    else:
        monkeypatch.setattr(Image.Image, changed, spoilt(getattr(Image.Image, changed)))
    assert canary_sha256(CONFIG) != before


def spoilt(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with another first pixel in its result."""

    def changed(*arguments: object, **options: object) -> Image.Image | Pixels:
        result = function(*arguments, **options)
        pixels = np.array(result)
        pixels[0, 0] ^= 64
        return pixels if isinstance(result, np.ndarray) else Image.fromarray(pixels)

    return changed
