"""What a request needs to be let in, and what pages of other sites may do."""

import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from app.api.middleware import Check
from app.doors.middleware import PUBLIC, KeyCheck
from app.settings import Settings
from model.verifier import Verifier
from tests.app.support.requests import check_problem, pair
from tests.conftest import app_of, client_of

pytestmark = pytest.mark.anyio

KEY = "SECRET-0123456789abcdef"
ORIGIN = "https://app.example"
HEADERS = {"authorization": f"Bearer {KEY}"}


def changed(settings: Settings, **values: Any) -> Settings:
    return settings.model_copy(update=values)


@pytest.fixture
def keyed(settings: Settings, tmp_path: Path) -> Settings:
    (tmp_path / "keys").write_text(KEY + "\n")
    return changed(settings, api_keys_file=tmp_path / "keys")


@pytest.fixture
async def keyed_client(keyed: Settings, verifier: Verifier) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(keyed, verifier) as client:
        yield client


@pytest.mark.parametrize(
    ("header", "challenge"),
    [
        (None, 'Bearer realm="facepair"'),
        (f"Basic {KEY}", 'Bearer realm="facepair"'),
        (KEY, 'Bearer realm="facepair"'),
        ("Bearer", 'Bearer realm="facepair"'),
        ("Bearer ", 'Bearer realm="facepair"'),
        (f"Bearer {KEY}x", 'Bearer realm="facepair", error="invalid_token"'),
        (f"Bearer {KEY} {KEY}", 'Bearer realm="facepair", error="invalid_token"'),
        (b"Bearer \xff\xfe", 'Bearer realm="facepair", error="invalid_token"'),
    ],
)
async def test_without_a_key_the_answer_is_401(
    keyed_client: httpx.AsyncClient, header: str | bytes | None, challenge: str
) -> None:
    headers = {} if header is None else {"authorization": header}
    response = await keyed_client.post("/verify", files=pair(), headers=headers)  # type: ignore[arg-type]
    check_problem(response, 401, "unauthorized")
    assert response.headers["www-authenticate"] == challenge


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER  "])
async def test_with_a_key_the_request_is_answered(keyed_client: httpx.AsyncClient, scheme: str) -> None:
    response = await keyed_client.post("/verify", files=pair(), headers={"authorization": f"{scheme} {KEY}"})
    assert response.status_code == 200


async def test_unknown_paths_tell_nothing_without_a_key(keyed_client: httpx.AsyncClient) -> None:
    for path in ("/info", "/nothing", "/docsx", "/health/other", "/v1/verify", "/page"):
        check_problem(await keyed_client.get(path), 401, "unauthorized")
    check_problem(await keyed_client.get("/nothing", headers=HEADERS), 404, "not_found")


async def test_health_the_page_and_the_documentation_need_no_key(keyed_client: httpx.AsyncClient) -> None:
    for path in [*PUBLIC, "/page/page.js", "/docs/files/swagger-ui.css"]:
        assert (await keyed_client.get(path)).status_code == 200


@pytest.mark.parametrize(("setting", "status"), [("open", 200), ("key", 401)])
async def test_metrics_need_a_key_by_a_setting(keyed: Settings, verifier: Verifier, setting: str, status: int) -> None:
    async with client_of(changed(keyed, metrics=setting), verifier) as client:
        assert (await client.get("/metrics")).status_code == status
        assert (await client.get("/metrics", headers=HEADERS)).status_code == 200


async def test_the_body_of_a_refused_request_is_not_read(keyed: Settings, verifier: Verifier) -> None:
    async def body() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    async with client_of(keyed, verifier) as client:
        check_problem(await client.post("/verify", content=body()), 401, "unauthorized")


async def test_the_log_names_a_key_without_telling_it(
    keyed_client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await keyed_client.get("/info", headers=HEADERS)
    fields = [getattr(record, "fields", {}) for record in caplog.records]
    assert [len(each["api_key"]) for each in fields if "api_key" in each] == [8]
    assert "SECRET" not in str(fields)


async def test_the_description_says_whether_a_key_is_needed(
    client: httpx.AsyncClient, keyed_client: httpx.AsyncClient
) -> None:
    required: list[dict[str, list[str]]] = [{"ApiKey": []}]
    for each, expected in ((client, [*required, {}]), (keyed_client, required)):
        document = (await each.get("/openapi.json")).json()
        assert document["security"] == expected
        assert document["components"]["securitySchemes"]["ApiKey"]["scheme"] == "bearer"
        for path, operations in document["paths"].items():
            for operation in operations.values():
                assert (operation.get("security") == []) == ("/health/" in path)


def preflight(origin: str = ORIGIN, **headers: str) -> dict[str, str]:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    return {"origin": origin, **asked, **headers}


@pytest.fixture
async def cors_client(keyed: Settings, verifier: Verifier) -> AsyncIterator[httpx.AsyncClient]:
    settings = changed(keyed, cors_origins=(ORIGIN, "http://localhost:5173"))
    async with client_of(settings, verifier) as client:
        yield client


async def test_pages_of_listed_origins_may_call(cors_client: httpx.AsyncClient) -> None:
    asked = await cors_client.options("/verify", headers=preflight())
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == ORIGIN
    assert "access-control-allow-credentials" not in asked.headers
    answered = await cors_client.post("/verify", files=pair(), headers={**HEADERS, "origin": ORIGIN})
    assert answered.status_code == 200
    assert answered.headers["access-control-allow-origin"] == ORIGIN
    assert "X-Request-ID" in answered.headers["access-control-expose-headers"]
    assert "Origin" in answered.headers["vary"]


async def test_a_listed_origin_can_read_the_refusal(cors_client: httpx.AsyncClient) -> None:
    refused = await cors_client.post("/verify", files=pair(), headers={"origin": ORIGIN})
    check_problem(refused, 401, "unauthorized")
    assert refused.headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.parametrize("origin", ["https://evil.example", "null", ORIGIN + ".evil.example", "http://app.example"])
async def test_other_origins_may_not(cors_client: httpx.AsyncClient, origin: str) -> None:
    asked = await cors_client.options("/verify", headers=preflight(origin))
    assert asked.status_code == 400
    assert "access-control-allow-origin" not in asked.headers
    answered = await cors_client.get("/info", headers={**HEADERS, "origin": origin})
    assert "access-control-allow-origin" not in answered.headers


async def test_without_the_setting_no_origin_may(client: httpx.AsyncClient) -> None:
    check_problem(await client.options("/verify", headers=preflight()), 405, "method_not_allowed")
    assert "access-control-allow-origin" not in (await client.get("/info", headers={"origin": ORIGIN})).headers


async def test_every_answer_has_the_headers_that_protect_it(cors_client: httpx.AsyncClient) -> None:
    asked = ["/", "/page/page.js", "/docs", "/docs/files/swagger-ui.css", "/openapi.json", "/health/live", "/nothing"]
    responses = [await cors_client.get(path) for path in asked]
    responses += [await cors_client.options("/verify", headers=preflight())]
    responses += [await cors_client.get("/nothing", headers=HEADERS)]
    responses += [await cors_client.post("/verify", files=pair(), headers=HEADERS)]
    for response in responses:
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
        assert response.headers["referrer-policy"] == "no-referrer"


async def test_a_key_file_that_changes_takes_effect_without_a_restart(keyed: Settings, verifier: Verifier) -> None:
    async with app_of(keyed, verifier) as (app, client):
        assert (await client.get("/info", headers=HEADERS)).status_code == 200
        assert keyed.api_keys_file
        keyed.api_keys_file.write_text("another-0123456789abcdef\n")
        checks = [cast("list[Check]", each.kwargs.get("checks", [])) for each in app.user_middleware]
        [keys] = [check.keys for check in itertools.chain(*checks) if isinstance(check, KeyCheck)]
        keys._read_at -= 1  # a second ago
        check_problem(await client.get("/info", headers=HEADERS), 401, "unauthorized")
        other = {"authorization": "Bearer another-0123456789abcdef"}
        assert (await client.get("/info", headers=other)).status_code == 200
