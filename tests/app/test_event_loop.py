"""The event loop stays free: the service answers while an image is decoded or the network works."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from pydantic import ValidationError

from app.schemas import CompareRequest
from app.settings import Settings
from model.verifier import Verifier
from tests.app.altered import PATIENCE_S, Gate, altered
from tests.app.asking import check_problem, pair, verify
from tests.conftest import client_of

pytestmark = pytest.mark.anyio


async def answers_at_the_gate(client: httpx.AsyncClient, gate: Gate) -> None:
    """Health, /info and errors are answered while a /verify stands at the gate, and that one afterwards."""
    working = asyncio.create_task(verify(client))
    assert await asyncio.to_thread(gate.reached.wait, PATIENCE_S)
    assert (await client.get("/health/live")).json() == {"status": "live"}
    assert (await client.get("/info")).status_code == 200
    check_problem(await client.post("/verify", files=pair()[:1]), 400, "missing_part", "image2")
    assert not working.done()
    gate.opened.set()
    assert (await working)["decision"] in ("same", "different")
    assert gate.in_time


async def test_while_the_network_works(settings: Settings, checkpoint_path: Path) -> None:
    gate = Gate()
    async with client_of(settings, altered(checkpoint_path, gate.before)) as client:
        await answers_at_the_gate(client, gate)


async def test_an_embedding_of_many_things_that_are_no_numbers_is_refused_at_the_first() -> None:
    body = b'{"embedding1":[' + b",".join([b"{}"] * 20_000) + b'],"embedding2":[],"embedding_sha256":"0"}'
    with pytest.raises(ValidationError) as refused:
        CompareRequest.model_validate_json(body)
    assert refused.value.error_count() < 10


async def test_while_an_image_is_decoded(
    settings: Settings, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    pillow_open = Image.open

    def slow_open(*arguments: Any, **options: Any) -> Image.Image:
        gate.wait()
        return pillow_open(*arguments, **options)

    monkeypatch.setattr(Image, "open", slow_open)
    async with client_of(settings, verifier) as client:
        await answers_at_the_gate(client, gate)
