"""Bodies that are no multipart, or hardly: over limits while they stream, cut off, garbled, random."""

import logging
from collections.abc import AsyncIterator

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from app.settings import Settings
from model.verifier import Verifier
from tests.app.support.requests import ANNA, BERTA, MULTIPART, SECRET, check_problem, log_lines, multipart
from tests.conftest import client_of

pytestmark = pytest.mark.anyio

BODY = multipart(("image1", ANNA), ("image2", BERTA))
LIMIT = 20_000
CHUNK = 4_000
GARBLED = {
    "no body": b"",
    "no boundary in it": SECRET.encode() * 10,
    "another boundary": BODY.replace(b"--edge", b"--other"),
    "cut in the data": BODY[:500],
    "cut in a header": BODY[:30],
    "cut before the last boundary": BODY[:-10],
    "cut in the last boundary": BODY[:-4],
    "header without colon": b"--edge\r\n" + SECRET.encode() + b"\r\n\r\nx\r\n--edge--\r\n",
    "header of bytes": b"--edge\r\n\xff\x00: \x01\r\n\r\nx\r\n--edge--\r\n",
    "endless header name": b"--edge\r\n" + b"A" * 15_000 + b": x\r\n\r\nx\r\n--edge--\r\n",
    "endless header": b"--edge\r\nA: " + b"x" * 15_000 + b"\r\n\r\nx\r\n--edge--\r\n",
    "endless headers": b"--edge\r\n" + b"A: x\r\n" * 5_000 + b"\r\nx\r\n--edge--\r\n",
    "bare line feeds": BODY.replace(b"\r\n", b"\n"),
}
NAMELESS = {
    "no header": b"",
    "no name": b"Content-Disposition: form-data\r\n",
    "empty name": b'Content-Disposition: form-data; name=""\r\n',
    "no UTF-8": b'Content-Disposition: form-data; name="\xff\xfe"\r\n',
    "extended name": b"Content-Disposition: form-data; name*=utf-8''image1\r\n",
    "only separators": b"Content-Disposition: ;;;=;\r\n",
}
BOUNDARIES = [b"", b'""', b"edge" * 100, b"\xff", b"*=utf-8''edge", b"%00", b'"', b"=", b"\xe2\x82\xac"]
PIECES = st.sampled_from(
    [b"--edge", b"--edge--", b"\r\n", b"\r", b"\n", b"--", b":", b'Content-Disposition: form-data; name="image1"',
     b'Content-Disposition: form-data; name="image2"; filename="x"', b"Content-Type: image/png", b"\r\n\r\n",
     ANNA, ANNA[:60]]
)  # fmt: skip


@pytest.fixture
async def client(settings: Settings, verifier: Verifier) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service that takes small images."""
    limits = {"max_image_bytes": LIMIT, "max_images": 2}
    async with client_of(settings.model_copy(update=limits), verifier) as client:
        yield client


class Upload:
    """A body in chunks, without a length, that counts what was taken of it."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            self.taken += len(chunk)
            yield chunk


async def test_a_body_may_come_byte_by_byte(client: httpx.AsyncClient) -> None:
    upload = Upload(*(BODY[i : i + 1] for i in range(len(BODY))))
    slow = await client.post("/verify", content=upload, headers=MULTIPART)
    at_once = await client.post("/verify", content=BODY, headers=MULTIPART)
    assert slow.json()["similarity"] == at_once.json()["similarity"]


@pytest.mark.parametrize("body", GARBLED.values(), ids=GARBLED)
async def test_a_garbled_body_is_refused(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, body: bytes
) -> None:
    caplog.set_level(logging.INFO)
    check_problem(await client.post("/verify", content=body, headers=MULTIPART), 400, "malformed_multipart")
    assert SECRET not in "".join(log_lines(caplog))


@pytest.mark.parametrize("header", NAMELESS.values(), ids=NAMELESS)
async def test_part_without_a_known_name_is_refused(client: httpx.AsyncClient, header: bytes) -> None:
    known = multipart(("image1", ANNA)).removesuffix(b"--edge--\r\n")
    body = known + b"--edge\r\n" + header + b"\r\nx\r\n--edge--\r\n"
    check_problem(await client.post("/verify", content=body, headers=MULTIPART), 400, "unexpected_part")


@pytest.mark.parametrize("boundary", BOUNDARIES)
async def test_invalid_boundary_is_refused(client: httpx.AsyncClient, boundary: bytes) -> None:
    headers = [(b"Content-Type", b"multipart/form-data; boundary=" + boundary)]
    check_problem(await client.post("/verify", content=BODY, headers=headers), 400, "malformed_multipart")


@pytest.mark.parametrize("start", [b"", b"--edge\r\n", b"--edge\r\nA: "], ids=["preamble", "header name", "header"])
async def test_an_endless_start_is_not_read_to_its_end(client: httpx.AsyncClient, start: bytes) -> None:
    await refuses_early(client, start)


async def test_an_endless_image_is_not_read_to_its_end(client: httpx.AsyncClient) -> None:
    await refuses_early(client, BODY.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")


async def test_an_endless_end_is_not_read_to_its_end(client: httpx.AsyncClient) -> None:
    await refuses_early(client, BODY)


async def refuses_early(client: httpx.AsyncClient, start: bytes) -> None:
    """Two images of legal size, boundaries, and as much again while draining: no more than that is taken."""
    upload = Upload(start, *[b"x" * CHUNK] * 500)
    response = await client.post("/verify", content=upload, headers=MULTIPART)
    assert response.status_code in (400, 413)
    assert upload.taken < 20 * LIMIT


async def test_boundary_inside_the_parts_is_refused(client: httpx.AsyncClient) -> None:
    def body(times: int) -> bytes:
        return multipart(("image1", ANNA + b"\r\n--edge~" * times), ("image2", BERTA))

    check_problem(await client.post("/verify", content=body(2000), headers=MULTIPART), 400, "malformed_multipart")
    assert (await client.post("/verify", content=body(100), headers=MULTIPART)).status_code == 200


@pytest.mark.parametrize("length", [True, False], ids=["with its length", "chunked"])
async def test_byte_limit_holds_for_any_chunks(client: httpx.AsyncClient, length: bool) -> None:
    body = multipart(("image1", ANNA), ("image2", bytes(LIMIT + 1)))
    content = body if length else Upload(*(body[i : i + CHUNK] for i in range(0, len(body), CHUNK)))
    check_problem(await client.post("/verify", content=content, headers=MULTIPART), 413, "too_many_bytes", "image2")


@given(body=st.lists(PIECES | st.binary(max_size=20), max_size=12).map(b"".join), cut=st.integers(0, 40))
@examples(max_examples=150, derandomize=True, database=None, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
async def test_no_body_makes_the_service_fail(client: httpx.AsyncClient, body: bytes, cut: int) -> None:
    upload = Upload(body[:cut], body[cut:])
    assert (await client.post("/verify", content=upload, headers=MULTIPART)).status_code < 500


@given(kind=st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=30))
@examples(max_examples=100, derandomize=True, database=None, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
async def test_no_content_type_makes_the_service_fail(client: httpx.AsyncClient, kind: str) -> None:
    headers = [(b"Content-Type", b"multipart/form-data;" + kind.encode("latin-1"))]
    assert (await client.post("/verify", content=BODY, headers=headers)).status_code < 500
