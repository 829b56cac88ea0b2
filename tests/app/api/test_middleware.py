"""Log lines, request ids, metrics, and what an unexpected failure shows of itself."""

import json
import logging
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.settings import Settings
from tests.app.support.modified_verifier import explode, modified_verifier, spoil
from tests.app.support.requests import FILE_NAME, SECRET, check_problem, embed, log_lines, pair, verify
from tests.conftest import client_of

pytestmark = pytest.mark.anyio

REQUEST_LINE = {"time", "level", "message", "request_id", "route", "status", "duration_ms"}
HOSTILE_IDS = [
    b"",
    b"a b",
    b"a\tb",
    b"x" * 65,
    b'a"b',
    b"<script>",
    b"a/b",
    b"a%0Ab",
    b"\xc3\xa9",
    b"{}",
    b"a\nb",
    b"a\n",
]


def logged(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log_lines(caplog)]


@pytest.fixture(autouse=True)
def _level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


async def test_request_is_logged_in_one_line_without_its_content(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    response = await client.post("/verify", files=pair(), headers={"User-Agent": SECRET, "Cookie": SECRET})
    [line] = logged(caplog)
    assert set(line) == REQUEST_LINE
    assert (line["level"], line["message"], line["route"], line["status"]) == ("info", "request", "/verify", 200)
    assert line["request_id"] == response.headers["x-request-id"]
    assert line["duration_ms"] > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line["time"])


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("GET", "/info", "/info", 200),
        ("GET", f"/{SECRET}?{SECRET}", "unmatched", 404),
        ("POST", f"/verify?{SECRET}", "/verify", 400),
        ("GET", "/verify", "/verify", 405),
    ],
)
async def test_log_line_has_the_route_s_path(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, method: str, path: str, route: str, status: int
) -> None:
    await client.request(method, path)
    [line] = logged(caplog)
    assert (line["route"], line["status"]) == (route, status)
    assert SECRET not in json.dumps(line)


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
async def test_successful_probes_are_logged_at_debug(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    await client.get(path)
    await client.post(path)
    assert [(line["level"], line["status"]) for line in logged(caplog)] == [("info", 405)]
    with caplog.at_level("DEBUG", "facepair"):
        await client.get(path)
    assert [line["level"] for line in logged(caplog)] == ["info", "debug"]


@pytest.mark.parametrize("offered", ["5b0e1c8f", "A-b_c.9", "x" * 64])
async def test_a_plain_request_id_is_kept(client: httpx.AsyncClient, offered: str) -> None:
    response = await client.get("/health/live", headers={"X-Request-ID": offered})
    assert response.headers["x-request-id"] == offered


@pytest.mark.parametrize("offered", HOSTILE_IDS)
async def test_a_hostile_request_id_is_replaced(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, offered: bytes
) -> None:
    response = await client.get("/nothing", headers=[(b"X-Request-ID", offered)])
    assert re.fullmatch("[0-9a-f]{32}", response.headers["x-request-id"])
    assert [line["request_id"] for line in logged(caplog)] == [response.json()["request_id"]]


async def test_each_request_has_an_id_of_its_own(client: httpx.AsyncClient) -> None:
    ids = {(await client.get("/health/live")).headers["x-request-id"] for _ in range(5)}
    assert len(ids) == 5


async def samples(client: httpx.AsyncClient, name: str) -> dict[tuple[str, ...], float]:
    """A metric's values by its labels' values."""
    families = text_string_to_metric_families((await client.get("/metrics")).text)
    found = [sample for family in families for sample in family.samples if sample.name == name]
    return {tuple(sample.labels.values()): sample.value for sample in found}


async def test_requests_are_counted_by_route_and_status(client: httpx.AsyncClient) -> None:
    await verify(client)
    await verify(client)
    await client.post("/verify", files=pair()[:1])
    for path in ("/a", "/b", f"/{FILE_NAME}"):
        await client.get(path)
    expected = {("/verify", "200"): 2, ("/verify", "400"): 1, ("unmatched", "404"): 3}
    assert await samples(client, "facepair_requests_total") == expected
    assert (await samples(client, "facepair_request_seconds_count"))[("/verify",)] == 3


async def test_the_stages_are_timed(client: httpx.AsyncClient) -> None:
    await verify(client)
    await embed(client, pair()[0][1][1])
    counts = await samples(client, "facepair_stage_seconds_count")
    assert counts == {("decoder_queue",): 3, ("decode",): 3, ("network_queue",): 2, ("inference",): 2}


async def test_probes_are_not_timed_as_stages(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health/ready")).status_code == 200
    assert await samples(client, "facepair_stage_seconds_count") == {}


async def test_the_metrics_name_the_model(client: httpx.AsyncClient) -> None:
    info = (await client.get("/info")).json()
    labels = ("tiny", info["model"]["embedding_sha256"], "cpu")
    assert {frozenset(key): value for key, value in (await samples(client, "facepair_model_info")).items()} == {
        frozenset(labels): 1
    }
    assert (await client.get("/metrics")).headers["content-type"].startswith("text/plain")


async def test_unexpected_failure_is_opaque_and_logged(
    settings: Settings, checkpoint_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with client_of(settings, modified_verifier(checkpoint_path, explode)) as client:
        response = await client.post("/verify", files=pair(), headers={"X-Request-ID": "mine"})
    check_problem(response, 500, "internal_error")
    failure, request = logged(caplog)
    assert (failure["level"], failure["request_id"]) == ("error", "mine")
    assert "RuntimeError: SECRET cause" in failure["exception"]
    assert "Traceback" in failure["exception"]
    assert (request["status"], request["route"], request["request_id"]) == (500, "/verify", "mine")


async def test_nan_from_the_network_is_logged_with_the_request_id(
    settings: Settings, checkpoint_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with client_of(settings, modified_verifier(checkpoint_path, spoil)) as client:
        response = await client.post("/verify", files=pair())
    check_problem(response, 500, "internal_error")
    errors = [line for line in logged(caplog) if line["level"] == "error"]
    assert [line["request_id"] for line in errors] == [response.json()["request_id"]]
    assert "InferenceError" in errors[0]["exception"]


@pytest.mark.parametrize("path", ["/info", "/metrics", "/docs", "/nowhere", "/verify"])
async def test_no_answer_is_stored_or_sniffed(client: httpx.AsyncClient, path: str) -> None:
    response = await (client.post(path, files=pair()) if path == "/verify" else client.get(path))
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
