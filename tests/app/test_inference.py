"""What `Inference` keeps of an image while its request goes on."""

import gc

import numpy as np
import pytest
from PIL import Image

from app.inference import Inference
from app.telemetry import Metrics
from model.crops import prepare
from model.photographs import ImageLimits
from model.preprocessing import PreprocessingConfig
from model.verifier import Verifier
from tests.drawing import encode, portrait

pytestmark = pytest.mark.anyio


def reachable(start: object) -> list[object]:
    """Every object that `start` keeps alive, itself first; classes, which live anyway, end the walk."""
    found = {id(start): start}
    waiting = [start]
    while waiting:
        thing = waiting.pop()
        further = [thing.base] if isinstance(thing, np.ndarray) else gc.get_referents(thing)
        fresh = [each for each in further if id(each) not in found and not isinstance(each, type)]
        found.update((id(each), each) for each in fresh)
        waiting += fresh
    return list(found.values())


def test_the_walk_finds_a_picture() -> None:
    picture = portrait(1)
    assert picture in reachable({"a": [(picture,)]})


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
async def test_the_decoded_picture_is_let_go(verifier: Verifier, form: str) -> None:
    data = encode(portrait(1, size=(200, 150)), form)
    inference = Inference(verifier, ImageLimits(), 1, Metrics())
    try:
        prepared = await inference.prepare(data)
    finally:
        inference.close()
    assert (prepared.format, prepared.width_px, prepared.height_px) == (form, 200, 150)
    assert np.array_equal(prepared.pixels, prepare(data, PreprocessingConfig()))
    kept = reachable(prepared)
    assert any(each is prepared.pixels for each in kept)
    assert not [each for each in kept if isinstance(each, Image.Image)]
