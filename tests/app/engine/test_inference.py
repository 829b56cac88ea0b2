"""What `Inference` keeps of an image while its request goes on, and how many cores its passes have."""

import asyncio
import gc
import sys
import threading
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from PIL import Image

from app.api.analyses import analyse_images
from app.api.inputs import ImagesUpload
from app.api.problems import Problem
from app.engine import batching
from app.engine.decoder import DecoderConfig, DecodeRequest, handle
from app.engine.inference import ENOUGH_CROPS, ONE_IN, Inference
from app.server.replica import build_replica
from app.settings import Settings
from model.arrays import Embeddings, Pixels
from model.checkpoint import Checkpoint, load
from model.cpu.embedder import CpuEmbedder
from model.errors import UndecodableImage
from model.imaging.analysis import FaceAllowance, ImageAnalysis
from model.imaging.decoding import ImageLimits
from model.imaging.preprocessing import PreprocessingConfig
from model.verifier import Verifier
from tests.app.support.collection import without_collection
from tests.app.support.stopped_decoders import stopped
from tests.conftest import fork_server
from tests.drawing import encode, portrait
from tests.faces import head_at, scene
from tests.model.support.pictures import prepare
from training.learning.experiments import ALIGNED

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


def test_reachable_finds_a_picture() -> None:
    picture = portrait(1)
    assert picture in reachable({"a": [(picture,)]})


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
async def test_decoded_picture_is_freed(settings: Settings, verifier: Verifier, form: str) -> None:
    data = encode(portrait(1, size=(200, 150)), form)
    analysis = await analyse(settings, verifier, data)
    assert (analysis.format, analysis.width_px, analysis.height_px) == (form, 200, 150)
    assert np.array_equal(analysis.pixels, prepare(data, PreprocessingConfig()))
    assert_freed(analysis)


async def test_decoded_picture_of_a_face_is_freed(aligned_settings: Settings, aligned_verifier: Verifier) -> None:
    data = encode(scene(head_at(0), head_at(1, 100, 100, 30)))
    analysis = await analyse(aligned_settings, aligned_verifier, data)
    assert np.array_equal(analysis.pixels, prepare(data, ALIGNED))
    assert_freed(analysis)


class Upload(bytearray):
    """What can be looked for when it should be gone, which bytes cannot; a decoder gets bytes."""

    def __reduce_ex__(self, _: object) -> tuple[type[bytes], tuple[bytes]]:
        return bytes, (bytes(self),)


async def test_images_of_cancelled_callers_are_freed_while_decoders_are_busy(
    settings: Settings, verifier: Verifier
) -> None:
    async with inference_of(settings.model_copy(update={"decoders": 1}), verifier) as inference:
        with stopped(inference.decoders):
            uploads = [Upload(encode(portrait(2))) for _ in range(5)]
            left = [
                asyncio.create_task(inference.analyse(cast("bytes", upload), "none", FaceAllowance(0)))
                for upload in uploads
            ]
            known = [weakref.ref(upload) for upload in uploads]
            await asyncio.sleep(0.01)
            while left:
                left.pop().cancel()
            uploads.clear()
            await asyncio.sleep(0.01)
            gc.collect()
            assert [each() for each in known] == [None] * 5
        image = await inference.analyse(encode(portrait(1)), "none", FaceAllowance(0))
        assert image.format == "PNG"


@pytest.mark.parametrize("field", ["image1", "image2"])
async def test_refused_images_are_freed_at_once(settings: Settings, verifier: Verifier, field: str) -> None:
    images = {name: Upload(encode(portrait(1))) for name in ("image1", "image2")}
    images[field] = Upload(b"\xff\xd8\xff" + bytes(1000))
    known = [weakref.ref(upload) for upload in images.values()]
    async with inference_of(settings, verifier) as inference:
        upload = ImagesUpload(images=cast("dict[str, bytes]", images), choice="largest", max_faces=64)
        with without_collection():
            with pytest.raises(Problem, match="damaged"):
                await analyse_images(upload, inference, inf)
            images.clear()
            await asyncio.sleep(0.01)
            assert [each() for each in known] == [None] * 2


def test_decoder_frees_a_refused_image_at_once() -> None:
    config = DecoderConfig(
        preprocessing=PreprocessingConfig(), trained_on=None, detector=None, limits=ImageLimits(), limit_s=1
    )
    request = DecodeRequest(image=b"\xff\xd8\xff" + bytes(1000), choice="largest", allowance=FaceAllowance(0))
    before = sys.getrefcount(request.image)
    with without_collection():
        result = handle(request, config, None)
        after = sys.getrefcount(request.image)
    assert isinstance(result.outcome, UndecodableImage)
    assert after == before


@asynccontextmanager
async def inference_of(settings: Settings, verifier: Verifier) -> AsyncIterator[Inference]:
    async with build_replica(settings, verifier, fork_server()).inference as inference:
        yield inference


async def analyse(settings: Settings, verifier: Verifier, data: bytes) -> ImageAnalysis:
    async with inference_of(settings, verifier) as inference:
        return await inference.analyse(data, "largest", FaceAllowance(0))


def assert_freed(analysis: ImageAnalysis) -> None:
    kept = reachable(analysis)
    assert any(each is analysis.pixels for each in kept)
    assert not [each for each in kept if isinstance(each, Image.Image)]
    arrays = [each for each in kept if isinstance(each, np.ndarray)]
    assert sum(each.nbytes for each in arrays) < 2 * analysis.pixels.nbytes


class Counted(Verifier):
    """Keeps among how many threads each pass may be divided, and its crops. Passes wait while `gate` is closed."""

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu") -> None:
        embedder = CpuEmbedder(checkpoint, 2)
        embedder.device = device
        super().__init__(checkpoint.header, embedder)
        self.passes: list[int | None] = []
        self.sizes: list[int] = []
        self.begun, self.gate = threading.Semaphore(0), threading.Event()
        self.gate.set()

    def embed(self, pixels: Pixels, threads: int | None = None) -> Embeddings:
        self.passes.append(threads)
        self.sizes.append(len(pixels))
        self.begun.release()
        self.gate.wait(30)
        return super().embed(pixels, threads)


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cores, however many this machine has, and passes that are held until they need not be."""
    monkeypatch.setattr("app.engine.cpu_budget.own_cores", lambda: 2)
    monkeypatch.setattr(batching, "HOLD_S", 1000.0)


def analysis_of(inference: Inference) -> "asyncio.Task[ImageAnalysis]":
    return asyncio.create_task(inference.analyse(encode(portrait(1)), "none", FaceAllowance(0)))


@pytest.mark.usefixtures("two_cores")
async def test_pass_is_divided_among_the_cores_that_decode_no_image(settings: Settings, checkpoint_path: Path) -> None:
    verifier, picture = Counted(load(checkpoint_path)), np.zeros((105, 105), np.uint8)
    async with inference_of(settings, verifier) as inference:
        await inference.embed([picture])
        assert verifier.passes == [2]
        with stopped(inference.decoders):
            decoding = analysis_of(inference)
            await asyncio.sleep(0)
            await inference.embed([picture])
            assert verifier.passes[1:] == [1]
        await decoding
        await inference.embed([picture])
        assert verifier.passes[2:] == [2]


@pytest.mark.usefixtures("two_cores")
async def test_set_threads_are_the_most_of_a_pass(settings: Settings, checkpoint_path: Path) -> None:
    verifier, picture = Counted(load(checkpoint_path)), np.zeros((105, 105), np.uint8)
    async with inference_of(settings.model_copy(update={"threads": 1}), verifier) as inference:
        await inference.embed([picture])
        verifier.begun.acquire()
        verifier.gate.clear()
        both = [asyncio.create_task(inference.embed([picture])) for _ in range(2)]
        assert await asyncio.to_thread(verifier.begun.acquire, timeout=30)
        await asyncio.sleep(0.01)
        assert verifier.passes == [1, 1]
        verifier.gate.set()
        await asyncio.gather(*both)


@pytest.mark.usefixtures("two_cores")
async def test_passes_run_side_by_side(settings: Settings, checkpoint_path: Path) -> None:
    verifier, pictures = Counted(load(checkpoint_path)), [np.zeros((105, 105), np.uint8)] * ENOUGH_CROPS
    async with inference_of(settings, verifier) as inference:
        verifier.gate.clear()
        both = [asyncio.create_task(inference.embed(pictures)) for _ in range(2)]
        for _ in both:
            assert await asyncio.to_thread(verifier.begun.acquire, timeout=30)
        verifier.gate.set()
        one, other = await asyncio.gather(*both)
    assert np.array_equal(one.value, other.value)


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize(("max_batch", "enough"), [(16, ENOUGH_CROPS), (3, 3)])
async def test_passes_wait_for_more_crops_while_every_core_decodes(
    settings: Settings, checkpoint_path: Path, max_batch: int, enough: int
) -> None:
    verifier, picture = Counted(load(checkpoint_path)), np.zeros((105, 105), np.uint8)
    async with inference_of(settings.model_copy(update={"max_batch": max_batch}), verifier) as inference:
        with stopped(inference.decoders):
            decoding = [analysis_of(inference) for _ in range(ONE_IN * enough)]
            await asyncio.sleep(0)
            few = asyncio.create_task(inference.embed([picture]))
            await asyncio.gather(few, inference.embed([picture] * (enough - 1)))
            assert len(verifier.passes) == 1
            last = asyncio.create_task(inference.embed([picture]))
            await asyncio.sleep(0)
        await asyncio.gather(*decoding, last)  # when a core has no image any more
        assert len(verifier.passes) == 2


@pytest.mark.usefixtures("two_cores")
async def test_a_pass_waits_for_a_third_of_what_is_here(settings: Settings, checkpoint_path: Path) -> None:
    verifier, picture = Counted(load(checkpoint_path)), np.zeros((105, 105), np.uint8)
    async with inference_of(settings, verifier) as inference:
        with stopped(inference.decoders):
            decoding = [analysis_of(inference) for _ in range(5)]
            await asyncio.sleep(0)
            first = asyncio.create_task(inference.embed([picture]))
            await asyncio.sleep(0.01)
            assert verifier.passes == []
            await asyncio.wait_for(asyncio.gather(first, inference.embed([picture])), 30)
            assert verifier.passes == [1]
        await asyncio.gather(*decoding)


@pytest.mark.usefixtures("two_cores")
async def test_images_that_wait_for_a_decoder_occupy_no_core(settings: Settings, checkpoint_path: Path) -> None:
    verifier, picture = Counted(load(checkpoint_path)), np.zeros((105, 105), np.uint8)
    async with inference_of(settings.model_copy(update={"decoders": 1}), verifier) as inference:
        with stopped(inference.decoders):
            decoding = [analysis_of(inference) for _ in range(3)]
            await asyncio.sleep(0)
            await asyncio.wait_for(inference.embed([picture]), 30)
            assert verifier.passes == [1]
        await asyncio.gather(*decoding)


@pytest.mark.usefixtures("two_cores")
async def test_large_images_that_wait_for_their_turn_occupy_no_core(settings: Settings, checkpoint_path: Path) -> None:
    verifier, picture = Counted(load(checkpoint_path)), np.zeros((105, 105), np.uint8)
    large = encode(Image.new("L", (2100, 2000)))
    async with inference_of(settings, verifier) as inference:
        with stopped(inference.decoders):
            decoding = [
                asyncio.create_task(inference.analyse(large, "none", FaceAllowance(0))) for _ in range(3)
            ]  # one of the two decoders may have a large image
            await asyncio.sleep(0.01)
            assert inference.decoders.busy == 1
            await asyncio.wait_for(inference.embed([picture]), 30)
            assert verifier.passes == [1]
        await asyncio.gather(*decoding)
        assert inference.decoders.busy == 0


@pytest.mark.usefixtures("two_cores")
async def test_held_pass_has_the_crops_of_the_request_whose_image_was_the_last(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, checkpoint_path: Path
) -> None:
    monkeypatch.setattr("app.engine.inference.SOON_S", 1.0)  # long enough for the other images of the request
    verifier, picture = Counted(load(checkpoint_path)), np.zeros((105, 105), np.uint8)

    async def verify() -> None:
        analyses = await asyncio.gather(*(analysis_of(inference) for _ in range(5)))
        await inference.embed([each.pixels for each in analyses])

    async with inference_of(settings, verifier) as inference:
        with stopped(inference.decoders):
            request = asyncio.create_task(verify())
            await asyncio.sleep(0.01)
            held = asyncio.create_task(inference.embed([picture]))
            await asyncio.sleep(0.01)
            assert verifier.passes == []
        await asyncio.gather(request, held)
    assert len(verifier.passes) == 1


@pytest.mark.usefixtures("two_cores")
async def test_large_batch_has_eight_crops_a_pass_and_thread(settings: Settings, checkpoint_path: Path) -> None:
    verifier, count = Counted(load(checkpoint_path)), 2 * ENOUGH_CROPS + 1
    pictures = np.random.default_rng(0).integers(0, 256, (count, 105, 105), np.uint8)
    async with inference_of(settings.model_copy(update={"threads": 1}), verifier) as inference:
        result = await inference.embed(list(pictures))
    assert np.abs(result.value - verifier.embedder.embed(pictures)).max() <= 1e-5
    assert verifier.sizes == [ENOUGH_CROPS, ENOUGH_CROPS, 1]
    assert verifier.passes == [1, 1, 1]


@pytest.mark.usefixtures("two_cores")
async def test_gpu_has_one_pass_at_a_time_and_full_batches(settings: Settings, checkpoint_path: Path) -> None:
    verifier, picture = Counted(load(checkpoint_path), "cuda:0"), np.zeros((105, 105), np.uint8)
    async with inference_of(settings.model_copy(update={"max_batch": 32}), verifier) as inference:
        verifier.gate.clear()
        first = asyncio.create_task(inference.embed([picture] * 40))
        assert await asyncio.to_thread(verifier.begun.acquire, timeout=30)
        others = [asyncio.create_task(inference.embed([picture])) for _ in range(3)]
        await asyncio.sleep(0.01)
        assert verifier.sizes == [32]
        verifier.gate.set()
        await asyncio.gather(first, *others)
    assert verifier.sizes == [32, 8, 3]


@pytest.mark.usefixtures("two_cores")
async def test_divided_pass_leaves_a_thread_to_one_that_comes_later(settings: Settings, checkpoint_path: Path) -> None:
    verifier, picture = Counted(load(checkpoint_path)), np.zeros((105, 105), np.uint8)
    async with inference_of(settings.model_copy(update={"max_batch": 4}), verifier) as inference:
        verifier.gate.clear()
        long = asyncio.create_task(inference.embed([picture] * 12))
        assert await asyncio.to_thread(verifier.begun.acquire, timeout=30)
        short = asyncio.create_task(inference.embed([picture]))
        assert await asyncio.to_thread(verifier.begun.acquire, timeout=30)
        verifier.gate.set()
        await asyncio.gather(long, short)
    assert verifier.passes[:2] == [2, 1]


@pytest.mark.usefixtures("two_cores")
async def test_passes_wait_for_more_crops_while_another_pass_and_an_image_take_the_cores(
    settings: Settings, checkpoint_path: Path
) -> None:
    verifier, picture = Counted(load(checkpoint_path)), np.zeros((105, 105), np.uint8)
    async with inference_of(settings.model_copy(update={"decoders": 1}), verifier) as inference:
        with stopped(inference.decoders):
            decoding = [analysis_of(inference) for _ in range(3 * ONE_IN)]
            verifier.gate.clear()
            first = asyncio.create_task(inference.embed([picture]))
            assert await asyncio.to_thread(verifier.begun.acquire, timeout=30)
            others = [asyncio.create_task(inference.embed([picture])) for _ in range(2)]
            await asyncio.sleep(0.01)
            assert len(verifier.passes) == 1
            verifier.gate.set()
            await asyncio.gather(first, *others)
            assert verifier.passes == [1, 1]
        await asyncio.gather(*decoding)
