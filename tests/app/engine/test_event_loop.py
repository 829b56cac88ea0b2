"""The event loop stays free: the service answers while an image is decoded or the network works."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from app.api.schemas.compare_request import CompareRequest
from app.settings import Settings
from model.verifier import Verifier
from tests.app.support.modified_verifier import PATIENCE_S, Gate, modified_verifier
from tests.app.support.requests import check_problem, pair, verify
from tests.app.support.stopped_decoders import stopped
from tests.conftest import app_of, client_of

pytestmark = pytest.mark.anyio


async def assert_answers_beside(client: httpx.AsyncClient, working: "asyncio.Task[Any]") -> None:
    """Health, /info and errors are answered while a request is not."""
    assert (await client.get("/health/live")).json() == {"status": "live"}
    assert (await client.get("/info")).status_code == 200
    check_problem(await client.post("/verify", files=pair()[:1]), 400, "missing_part", "image2")
    assert not working.done()


async def test_loop_is_free_while_the_network_works(settings: Settings, checkpoint_path: Path) -> None:
    gate = Gate()
    async with client_of(settings, modified_verifier(checkpoint_path, gate.before)) as client:
        working = asyncio.create_task(verify(client))
        assert await asyncio.to_thread(gate.reached.wait, PATIENCE_S)
        await assert_answers_beside(client, working)
        gate.opened.set()
        assert (await working)["decision"] in ("same", "different")
    assert gate.in_time


async def test_validation_stops_at_the_first_value_that_is_not_a_number() -> None:
    body = b'{"embedding1":[' + b",".join([b"{}"] * 20_000) + b'],"embedding2":[],"embedding_sha256":"0"}'
    with pytest.raises(ValidationError) as refused:
        CompareRequest.model_validate_json(body)
    assert refused.value.error_count() < 10


async def test_loop_is_free_while_images_are_decoded(settings: Settings, verifier: Verifier) -> None:
    async with app_of(settings, verifier) as (app, client):
        with stopped(app.state.inference.decoders):
            working = asyncio.create_task(verify(client))
            await assert_answers_beside(client, working)
        assert (await working)["decision"] in ("same", "different")
