"""The images of a request are freed with its answer, without waiting for Python to collect garbage."""

import asyncio
import gc
import sys

import pytest

from app.api.inputs import PairUpload
from app.settings import Settings
from model.verifier import Verifier
from tests.app.support.collection import without_collection
from tests.app.support.leaving_client import post_and_leave
from tests.app.support.requests import ANNA, BERTA, check_problem, multipart, pair
from tests.app.support.stopped_decoders import stopped
from tests.conftest import app_of

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.gettrace() is not None, reason="the tracer of `make coverage` keeps frames alive"),
]


async def uploads_in_memory() -> int:
    """Those of earlier tests included: pytest keeps the records of a log with a traceback, and so its frames."""
    await asyncio.sleep(0.01)  # tasks that were cancelled end
    return sum(type(each) is PairUpload for each in gc.get_objects())


async def test_images_of_a_client_that_left_are_freed(settings: Settings, verifier: Verifier) -> None:
    before_leaving = []

    async def leave() -> None:
        before_leaving.append(await uploads_in_memory())

    async with app_of(settings, verifier) as (app, _):
        with without_collection(), stopped(app.state.inference.decoders):
            of_earlier_tests = await uploads_in_memory()
            status = await post_and_leave(app, "/verify", multipart(("image1", ANNA), ("image2", BERTA)), leave)
            assert await uploads_in_memory() == of_earlier_tests
    assert (status, before_leaving) == (499, [of_earlier_tests + 1])


async def test_images_of_a_refused_request_are_freed(settings: Settings, verifier: Verifier) -> None:
    async with app_of(settings, verifier) as (_, client):
        with without_collection():
            of_earlier_tests = await uploads_in_memory()
            response = await client.post("/verify", files=pair(ANNA, b"\xff\xd8\xff" + bytes(1000)))
            assert await uploads_in_memory() == of_earlier_tests
    check_problem(response, 422, "undecodable_image", "image2")
