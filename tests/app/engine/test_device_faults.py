"""A device without memory costs the request that needs it; a device that fails costs the replica, which says so."""

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from app.settings import Settings
from model.verifier import Verifier
from tests.app.server.test_load import BODY, uploading
from tests.app.support.faulty_device import (
    ILLEGAL_ACCESS,
    LETHAL,
    OUT_OF_MEMORY,
    TOO_MUCH,
    fail_at_batches,
    fail_at_marked_pictures,
    failing,
)
from tests.app.support.requests import ANNA, BERTA, JSON, check_problem, compare_request, embed, files, pair, verify
from tests.app.support.service import PATIENCE_S, serving
from tests.conftest import client_of


@pytest.mark.anyio
async def test_batch_beyond_the_memory_is_retried_image_by_image(settings: Settings, verifier: Verifier) -> None:
    async with client_of(settings, verifier) as client:
        together, similarity = await embed(client, ANNA, BERTA), (await verify(client))["similarity"]
        with failing(fail_at_batches):
            apart, again = await embed(client, ANNA, BERTA), (await verify(client))["similarity"]
    assert again == pytest.approx(similarity, abs=1e-5)
    for one, other in zip(together["data"], apart["data"], strict=True):
        assert other["embedding"] == pytest.approx(one["embedding"], abs=1e-5)


@pytest.mark.anyio
async def test_out_of_memory_fails_only_the_request_that_needs_it(settings: Settings, verifier: Verifier) -> None:
    async with client_of(settings.model_copy(update={"queue": 8}), verifier) as client:
        with failing(fail_at_marked_pictures):
            requests = [pair(), pair(ANNA, TOO_MUCH), pair(), pair(TOO_MUCH, BERTA)]
            answers = await asyncio.gather(*(client.post("/verify", files=request) for request in requests))
            ready = await client.get("/health/ready")
        metrics = (await client.get("/metrics")).text
    assert [answer.status_code for answer in answers] == [200, 503, 200, 503]
    check_problem(answers[1], 503, "out_of_memory")
    assert answers[1].headers["retry-after"] == "1"
    assert ready.status_code == 200
    assert 'facepair_problems_total{code="out_of_memory"} 2.0' in metrics


@pytest.mark.anyio
async def test_lost_device_ends_all_work_and_readiness(settings: Settings, verifier: Verifier) -> None:
    async with client_of(settings, verifier) as client:
        body = await compare_request(client)
        with failing(fail_at_marked_pictures):
            lethal = await client.post("/verify", files=pair(ANNA, LETHAL))
        # The device would compute again by now: that it must not be trusted is what the replica remembers.
        refused = await client.post("/verify", files=pair())
        compared = await client.post("/compare", content=json.dumps(body), headers=JSON)
        ready, live = await client.get("/health/ready"), await client.get("/health/live")
    for answer in (lethal, refused, compared):
        check_problem(answer, 503, "device_lost")
        assert (answer.headers["retry-after"], answer.headers["connection"]) == ("1", "close")
        assert "illegal" not in answer.text
    check_problem(ready, 503, "not_ready")
    assert live.status_code == 200


def test_process_ends_when_its_device_is_lost_and_not_out_of_memory(checkpoint_path: Path) -> None:
    with serving(checkpoint_path, module="tests.app.support.faulty_device") as service:
        with httpx.Client(base_url=service.url, timeout=PATIENCE_S, trust_env=False) as client:
            assert client.post("/verify", files=pair()).status_code == 200
            check_problem(client.post("/embed", files=files(("image", TOO_MUCH))), 503, "out_of_memory")
            assert client.post("/verify", files=pair()).status_code == 200
            assert client.get("/health/ready").status_code == 200
            with uploading(service, 2) as connection:
                check_problem(client.post("/verify", files=pair(LETHAL, ANNA)), 503, "device_lost")
                service.wait_for(lambda line: line["message"] == "Shutting down")
                connection.sendall(BODY)
                answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert service.process.wait(PATIENCE_S) == 1
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b'"device_lost"' in answer
    lines = [json.loads(line) for line in service.log]
    exceptions = {line["message"]: line["exception"] for line in lines if "exception" in line}
    assert OUT_OF_MEMORY in exceptions["the device is out of memory"]
    assert ILLEGAL_ACCESS.splitlines()[0] in exceptions["the device was lost"]
    assert not [line for line in lines if line["message"] == "unexpected failure"]
