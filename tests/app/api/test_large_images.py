"""Images of much work in few bytes beside requests of usual ones, which must be answered."""

import asyncio
import io

import httpx
import pytest
from PIL import Image

from app.settings import Settings
from model.imaging.headers import MAX_PIXELS_PER_BYTE, read_header
from model.verifier import Verifier
from tests.app.support.crowds import ALONE, OTHER
from tests.app.support.requests import check_problem, files
from tests.app.support.stopped_decoders import stopped
from tests.conftest import app_of, client_of

pytestmark = pytest.mark.anyio

GOOD = (("image1", ALONE), ("image2", OTHER))


def flat_webp(side_px: int) -> bytes:
    """A picture of one colour, in some 40 bytes whatever its size."""
    file = io.BytesIO()
    Image.new("RGB", (side_px, side_px), (90, 100, 110)).save(file, "WEBP", lossless=True, method=0, quality=0)
    return file.getvalue()


def padded(data: bytes) -> bytes:
    """With as many bytes behind the picture as its pixels need not to be refused."""
    return data + bytes(read_header(data).pixels // MAX_PIXELS_PER_BYTE)


async def test_eight_tiny_files_of_49_megapixels_are_refused_and_a_good_request_is_answered(
    aligned_client: httpx.AsyncClient,
) -> None:
    tiny = flat_webp(7000)
    assert len(tiny) < 60
    sent = [aligned_client.post("/detect", files=files(("image", tiny))) for _ in range(8)]
    *refused, good = await asyncio.gather(*sent, aligned_client.post("/verify", files=files(*GOOD)))
    assert good.status_code == 200
    for answer in refused:
        check_problem(answer, 422, "too_many_pixels", "image[0]")
        assert "49,000,000 pixels in" in answer.json()["detail"]


async def test_large_images_have_a_budget_and_a_good_request_is_answered_beside_them(
    aligned_settings: Settings, aligned_verifier: Verifier
) -> None:
    large = padded(flat_webp(2500))
    limits = {"large_pixels": 2 * 2500**2, "decoders": 2}
    async with client_of(aligned_settings.model_copy(update=limits), aligned_verifier) as client:
        begun = [asyncio.create_task(client.post("/detect", files=files(("image", large)))) for _ in range(8)]
        good = await client.post("/verify", files=files(*GOOD))
        assert good.status_code == 200
        answers = await asyncio.gather(*begun)
        assert sorted(answer.status_code for answer in answers) == [200] * 2 + [429] * 6
        assert "as many large images as it takes on" in str([answer.json() for answer in answers])
        assert (await client.post("/detect", files=files(("image", large)))).status_code == 200


async def test_large_images_leave_a_decoder_to_small_ones(
    aligned_settings: Settings, aligned_verifier: Verifier
) -> None:
    settings = aligned_settings.model_copy(update={"decoders": 2})
    async with app_of(settings, aligned_verifier) as (app, client):
        decoders, idle = app.state.inference.decoders, app.state.inference.decoders._idle
        with stopped(decoders):
            large = [
                asyncio.create_task(client.post("/detect", files=files(("image", padded(flat_webp(2100))))))
                for _ in range(3)
            ]
            while app.state.admission.work.taken < 3 or idle.qsize() > 1:
                await asyncio.sleep(0.01)
            small = asyncio.create_task(client.post("/detect", files=files(("image", ALONE))))
            while idle.qsize():
                await asyncio.sleep(0.01)
            large[1].cancel()  # one that waits takes nothing with it
        for each in (small, large[0], large[2]):
            assert (await each).status_code == 200
        assert app.state.admission.large_px.taken == 0


async def test_an_image_that_takes_too_much_memory_costs_its_own_request(
    aligned_settings: Settings, aligned_verifier: Verifier
) -> None:
    limits = {"decoder_memory_bytes": 64 * 2**20, "decoders": 1}
    async with app_of(aligned_settings.model_copy(update=limits), aligned_verifier) as (app, client):
        before = set(app.state.inference.decoders.pids)
        answer = await client.post("/detect", files=files(("image", padded(flat_webp(5000)))))
        check_problem(answer, 422, "too_much_memory", "image[0]")
        assert (await client.post("/verify", files=files(*GOOD))).status_code == 200
        assert app.state.inference.decoders.pids == before
