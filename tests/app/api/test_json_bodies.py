"""JSON bodies: images in base64 under the names of multipart, with the same limits and answers."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from app.api.bodies.json_form import SLICE_BYTES
from app.settings import Settings
from model.verifier import Verifier
from tests.app.support.requests import ANNA, BERTA, JSON, SECRET, check_problem, files, pair
from tests.conftest import client_of

pytestmark = pytest.mark.anyio

LIMIT = 20_000


def text(image: bytes) -> str:
    return base64.b64encode(image).decode()


A, B = text(ANNA), text(BERTA)
PAIR = {"image1": A, "image2": B}
# How clients and libraries write base64 in JSON.
WRITINGS = {
    "a list": [A],
    "a data URI": f"data:image/png;base64,{A}",
    "a data URI with a parameter": f"data:image/png;name=a.png;base64,{A}",
    "lines": base64.encodebytes(ANNA).decode(),
    "without padding": A.rstrip("="),
}
ESCAPED = {
    "as PHP escapes": A.replace("/", "\\/"),
    "as .NET escapes": A.replace("+", "\\u002B"),
    "as Gson escapes": A.replace("=", "\\u003d"),
    "raw line ends, as in a shell": base64.encodebytes(ANNA).decode(),
}


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    own = {"request_id", "timing_ms"}
    assert {key: one[key] for key in set(one) - own} == {key: other[key] for key in set(other) - own}


@pytest.mark.parametrize("image", WRITINGS.values(), ids=WRITINGS)
async def test_verify_answers_json_as_it_answers_multipart(client: httpx.AsyncClient, image: str | list[str]) -> None:
    sent = await client.post("/verify", json={"image1": image, "image2": B})
    same(sent.json(), (await client.post("/verify", files=pair())).json())


@pytest.mark.parametrize("image", ESCAPED.values(), ids=ESCAPED)
@pytest.mark.parametrize("step", [11, 100_000])
async def test_escapes_are_read_in_chunks_of_any_length(client: httpx.AsyncClient, image: str, step: int) -> None:
    body = f'{{"image1": "{image}", "image2": "{B}"}}'.encode()

    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(body), step):
            yield body[at : at + step]

    sent = await client.post("/verify", content=chunks(), headers=JSON)
    same(sent.json(), (await client.post("/verify", files=pair())).json())


async def test_numbers_and_text_are_fields(client: httpx.AsyncClient) -> None:
    for threshold in (0.25, "0.25", "0.250"):
        answer = (await client.post("/verify", json=PAIR | {"threshold": threshold, "max_fmr": None})).json()
        assert answer["threshold"] == 0.25
    answer = (await client.post("/embed", json={"image": A, "encoding_format": "base64", "face": ""})).json()
    assert isinstance(answer["data"][0]["embedding"], str)


async def test_several_images_have_the_names_of_multipart(aligned_client: httpx.AsyncClient) -> None:
    json_answer = await aligned_client.post("/detect", json={"image": [A, B]})
    form_answer = await aligned_client.post("/detect", files=files(("image", ANNA), ("image", BERTA)))
    same(json_answer.json(), form_answer.json())
    for name in ("image[]", "image"):
        answer = await aligned_client.post("/embed", json={name: [A, text(b"\xff\xd8\xff")], "face": "none"})
        check_problem(answer, 422, "undecodable_image", "image[1]")


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({"image1": A}, 400, "missing_part", "image2"),
        ({"image1": A, "image2": None}, 400, "missing_part", "image2"),
        ({"image1": A, "image2": []}, 400, "missing_part", "image2"),
        ({"image1": A, "image2": ""}, 422, "empty_image", "image2"),
        (PAIR | {SECRET: A}, 400, "unexpected_part", None),
        (PAIR | {"threshold[]": 1}, 400, "unexpected_part", None),
        (PAIR | {"threshold": 1.5}, 400, "invalid_field", "threshold"),
        (PAIR | {"threshold": True}, 400, "malformed_json", "threshold"),
        (PAIR | {"threshold": [0.5]}, 400, "malformed_json", "threshold"),
        (PAIR | {"threshold": []}, 400, "malformed_json", "threshold"),
        (PAIR | {"threshold": {}}, 400, "malformed_json", "threshold"),
        (PAIR | {"image1": {}}, 400, "malformed_json", "image1"),
        (PAIR | {SECRET: []}, 400, "unexpected_part", None),
        (PAIR | {"threshold": SECRET * 1000}, 413, "too_many_bytes", "threshold"),
        (PAIR | {"image1": {SECRET: A}}, 400, "malformed_json", "image1"),
        (PAIR | {"image1": [[A]]}, 400, "malformed_json", "image1"),
        (PAIR | {"image1": 5}, 400, "invalid_field", "image1"),
        (PAIR | {"image1": SECRET + "!" * 9}, 400, "invalid_field", "image1"),
        (PAIR | {"image1": A[:40] + "=" + A[40:]}, 400, "invalid_field", "image1"),
        (PAIR | {"image1": "\ud800" * 2000}, 400, "invalid_field", "image1"),
        (PAIR | {"image1": "data:image/png," + A}, 400, "invalid_field", "image1"),
        (PAIR | {"image2": text(SECRET.encode() * 9)}, 415, "unsupported_image", "image2"),
        (PAIR | {"image2": text(bytes(LIMIT + 1))}, 413, "too_many_bytes", "image2"),
        ({"image1": [A, A], "image2": [B, B]}, 400, "too_many_images", "image2"),
        ([PAIR], 400, "malformed_json", None),
        (A, 400, "malformed_json", None),
    ],
)  # fmt: skip
async def test_errors_are_those_of_multipart(
    settings: Settings, verifier: Verifier, body: object, status: int, code: str, field: str | None
) -> None:
    limits = {"max_image_bytes": LIMIT, "max_images": 3}
    async with client_of(settings.model_copy(update=limits), verifier) as client:
        answer = await client.post("/verify", content=json.dumps(body), headers=JSON)
        check_problem(answer, status, code, field)


@pytest.mark.parametrize("url", ["http://10.0.0.1/a.jpg", "HTTPS://example.org/a", "file:///etc/passwd", "blob:x"])
async def test_urls_are_not_fetched_and_the_error_says_why(client: httpx.AsyncClient, url: str) -> None:
    answer = await client.post("/verify", json=PAIR | {"image1": url})
    check_problem(answer, 415, "unsupported_image", "image1")
    assert "the service fetches none, as it could be sent to places that only it can reach" in answer.json()["detail"]
    assert url not in answer.text


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b'{"image1": "', b'{"image1": "\\u00', b'{"image1": "\\u00zz"}', b'{"image1": NaN, "image2": 1}',
        b"[" * 50_000, b"[" * 200_000, b"1" * 60_000, b'{"image1": "' + b"A" * 5000, b"\xff", b"{} {}",
        b'"' + b"\\x" * 2000 + b'"', b'{"":' * 5000 + b"1" + b"}" * 5000, b"null",
    ],
)  # fmt: skip
async def test_what_is_no_json_is_refused(client: httpx.AsyncClient, body: bytes) -> None:
    check_problem(await client.post("/verify", content=body, headers=JSON), 400, "malformed_json")


async def test_a_name_that_comes_twice_is_judged_as_in_multipart(client: httpx.AsyncClient) -> None:
    twice = f'{{"image1": "{A}", "image2": "{B}", "threshold": 0.1, "threshold": 0.2}}'
    check_problem(await client.post("/verify", content=twice, headers=JSON), 400, "duplicate_part", "threshold")
    twice = f'{{"image1": "{A}", "image2": "{B}", "image2": "{B}"}}'
    answer = await client.post("/verify", content=twice, headers=JSON)
    assert [image["field"] for image in answer.json()["images"]] == ["image1", "image2[0]", "image2[1]"]


async def test_an_image_over_its_limit_is_not_decoded(
    settings: Settings, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    decode = base64.b64decode

    def noting(data: bytes, *, validate: bool) -> bytes:
        decoded.append(len(data))
        return decode(data, validate=validate)

    monkeypatch.setattr(base64, "b64decode", noting)
    async with client_of(settings.model_copy(update={"max_image_bytes": LIMIT}), verifier) as client:
        answer = await client.post("/verify", json={"image1": text(bytes(LIMIT + 1)), "image2": B})
        check_problem(answer, 413, "too_many_bytes", "image1")
        assert decoded == []
        assert (await client.post("/verify", json=PAIR)).status_code == 200
    assert decoded


async def test_the_whole_body_has_a_limit_as_it_is_encoded(settings: Settings, verifier: Verifier) -> None:
    async with client_of(settings.model_copy(update={"max_request_bytes": 8000}), verifier) as client:
        answer = await client.post("/verify", json={"image1": text(bytes(3500)), "image2": text(bytes(3500))})
        check_problem(answer, 413, "too_many_bytes")
        form = await client.post("/verify", files=pair(bytes(3500), bytes(3500)))
        check_problem(form, 415, "unsupported_image", "image1")


async def test_other_requests_have_their_turn_while_a_large_image_is_decoded(client: httpx.AsyncClient) -> None:
    image = bytes(20 * 1024 * 1024)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await client.post("/verify", json={"image1": text(image), "image2": B})
    counting.cancel()
    assert turns > len(image) / SLICE_BYTES


@given(
    body=st.recursive(
        st.none()
        | st.booleans()
        | st.floats()
        | st.integers()
        | st.text()
        | st.sampled_from([A, B, f"data:;base64,{A}"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text() | st.sampled_from(["image1", "image2", "threshold", "face"]), inner, max_size=5)
        ),
    )
)
@examples(max_examples=60, derandomize=True, database=None, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
async def test_no_json_makes_the_service_fail(client: httpx.AsyncClient, body: object) -> None:
    answer = await client.post("/verify", content=json.dumps(body).encode(), headers=JSON)
    assert answer.status_code < 500
