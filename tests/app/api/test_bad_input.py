"""The design's table of errors over HTTP: every row, in the one shape, with nothing of the request in it."""

import dataclasses
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.api.problems import BY_CODE
from app.settings import Settings
from model.verifier import Verifier
from tests.app.support.requests import (
    ANNA,
    BERTA,
    FILE_NAME,
    MULTIPART,
    SECRET,
    check_problem,
    files,
    log_lines,
    multipart,
    pair,
)
from tests.conftest import client_of
from tests.drawing import encode, portrait

pytestmark = pytest.mark.anyio

LIMITS = {"max_image_bytes": 20_000, "max_pixels": 250_000, "min_side_px": 40, "max_images": 2}
TOO_MANY_BYTES = ANNA + bytes(20_000)
NOT_THRESHOLDS = (SECRET, "nan", "-nan", "inf", "-0.001", "1.001", "1e400", "0,5", "0x1", "0_1", "\0", "½")
# Rows that no single request causes; other tests have them.
NOT_OF_ONE_REQUEST = {"out_of_memory", "device_lost", "internal_error", "not_ready", "queue_full", "deadline_passed",
                      "unauthorized", "too_much_memory"}  # fmt: skip
# test_heads.py has these.
OF_HEADS = {"invalid_host", "unsupported_transfer_encoding"}
# Rows of faces: test_faces_bad_input.py has those of a model that finds them, test_whole_pictures.py that of one that
# does not.
OF_FACES = {"no_face", "several_faces", "too_many_faces", "face_too_small", "whole_pictures"}
# test_compare_bad_input.py and test_compare_several.py have these.
# test_batch.py has that of /verify/batch, which takes more images than the service here.
OF_BATCHES = {"uneven_pairs"}
OF_EMBEDDINGS = {"malformed_embedding", "too_many_embeddings"}
EMBEDDING = {"embedding1": [], "embedding2": [], "embedding_sha256": SECRET}


@dataclasses.dataclass(frozen=True)
class Case:
    """A request, and how it is refused."""

    name: str
    status: int
    code: str
    field: str | None = None
    path: str = "/verify"
    method: str = "POST"
    request: dict[str, Any] = dataclasses.field(default_factory=dict)


def image(name: str, status: int, code: str, data: bytes) -> list[Case]:
    """An image that cannot be used, in each place where one is taken."""
    return [
        Case(f"{name} first", status, code, "image1", request={"files": pair(data, BERTA)}),
        Case(f"{name} second", status, code, "image2", request={"files": pair(ANNA, data)}),
        Case(f"{name} embedded", status, code, "image[1]", "/embed",
             request={"files": files(("image", ANNA), ("image", data))}),
    ]  # fmt: skip


def threshold(value: str) -> Case:
    request = {"files": pair(), "data": {"threshold": value}}
    return Case(f"threshold {value!r}", 400, "invalid_field", "threshold", request=request)


def body(name: str, status: int, code: str, content: bytes, **headers: str) -> Case:
    sent = {key.replace("_", "-"): value for key, value in headers.items()}
    return Case(name, status, code, request={"content": content, "headers": sent})


CASES = [
    *image("text", 415, "unsupported_image", SECRET.encode()),
    *image("GIF", 415, "unsupported_image", encode(portrait(1), "GIF")),
    *image("no bytes", 422, "empty_image", b""),
    *image("truncated PNG", 422, "undecodable_image", ANNA[:-200]),
    *image("truncated JPEG", 422, "undecodable_image", encode(portrait(1), "JPEG")[:2000]),
    *image("truncated WebP", 422, "undecodable_image", encode(portrait(1), "WEBP")[:500]),
    *image("only a signature", 422, "undecodable_image", ANNA[:8]),
    *image("damaged", 422, "undecodable_image", ANNA[:100] + b"\xff" * 50 + ANNA[150:]),
    *image("many pixels", 422, "too_many_pixels", encode(portrait(1, size=(501, 500)))),
    *image("low", 422, "image_too_small", encode(portrait(1, size=(100, 39)))),
    *image("narrow", 422, "image_too_small", encode(portrait(1, size=(39, 100)))),
    Case("bytes in image1", 413, "too_many_bytes", "image1", request={"files": pair(TOO_MANY_BYTES, BERTA)}),
    Case("bytes in image2", 413, "too_many_bytes", "image2", request={"files": pair(ANNA, TOO_MANY_BYTES)}),
    Case("bytes in image", 413, "too_many_bytes", "image[1]", "/embed",
         request={"files": files(("image", ANNA), ("image", TOO_MANY_BYTES))}),
    Case("encoded", 415, "unsupported_content_type", None,
         request={"files": pair(), "headers": {"Content-Encoding": "gzip"}}),
    Case("encoded JSON", 415, "unsupported_content_type", None, "/compare",
         request={"json": {}, "headers": {"Content-Encoding": "deflate"}}),
    Case("bytes in a field", 413, "too_many_bytes", "threshold",
         request={"files": pair(), "data": {"threshold": "0" * 2000}}),
    Case("no image2", 400, "missing_part", "image2", request={"files": files(("image1", ANNA))}),
    Case("no image1", 400, "missing_part", "image1", request={"files": files(("image2", ANNA))}),
    Case("no image", 400, "missing_part", "image", "/embed",
         request={"content": b"--edge--\r\n", "headers": MULTIPART}),
    Case("extra file", 400, "unexpected_part", request={"files": [*pair(), *files((SECRET, ANNA))]}),
    Case("extra field", 400, "unexpected_part", request={"files": pair(), "data": {SECRET: SECRET}}),
    Case("other route's part", 400, "unexpected_part", request={"files": files(("image", ANNA))}),
    Case("three images of two sides", 400, "too_many_images", "image1", request={"files": [*pair(), *pair()]}),
    Case("a field in brackets", 400, "unexpected_part", request={"files": pair(), "data": {"threshold[]": "0.5"}}),
    Case("threshold twice", 400, "duplicate_part", "threshold",
         request={"files": pair(), "data": {"threshold": ["0.5", "0.5"]}}),
    Case("three images", 400, "too_many_images", "image", "/embed",
         request={"files": files(*[("image", ANNA)] * 3)}),
    Case("encoding", 400, "invalid_field", "encoding_format", "/embed",
         request={"files": files(("image", ANNA)), "data": {"encoding_format": SECRET}}),
    Case("on_error", 400, "invalid_field", "on_error", "/embed",
         request={"files": files(("image", ANNA)), "data": {"on_error": SECRET}}),
    *map(threshold, NOT_THRESHOLDS),
    body("no body", 415, "unsupported_content_type", b""),
    body("raw bytes", 415, "unsupported_content_type", ANNA, Content_Type="image/png"),
    body("bytes without a type", 415, "unsupported_content_type", ANNA),
    Case("JSON without images", 400, "missing_part", "image1", request={"json": {}}),
    body("a form without files", 415, "unsupported_content_type", b"image1=x",
         Content_Type="application/x-www-form-urlencoded"),
    body("no boundary", 400, "malformed_multipart", multipart(), Content_Type="multipart/form-data"),
    Case("embedding", 400, "malformed_json", "embedding1", "/compare", request={"json": {}}),
    Case("another model's", 409, "foreign_embedding", "embedding_sha256", "/compare", request={"json": EMBEDDING}),
    Case("unknown path", 404, "not_found", None, f"/{SECRET}", "GET"),
    Case("upload to unknown path", 404, "not_found", None, f"/{FILE_NAME}", request={"files": pair()}),
    *(Case(f"query to {path}", 400, "unexpected_query", None, f"{path}?threshold={SECRET}", request={"files": pair()})
      for path in ("/verify", "/embed", "/detect", "/compare")),
    *(Case(f"{method} {path}", 405, "method_not_allowed", None, path, method)
      for method, path in (("GET", "/verify"), ("PUT", "/embed"), ("DELETE", "/compare"), ("POST", "/info"),
                           ("PATCH", "/health/live"), ("OPTIONS", "/verify"), ("POST", "/docs/files/some.js"))),
]  # fmt: skip


@pytest.fixture
async def client(settings: Settings, verifier: Verifier) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service with low limits."""
    async with client_of(settings.model_copy(update=LIMITS), verifier) as client:
        yield client


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_bad_input_is_refused(client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, case: Case) -> None:
    caplog.set_level(logging.INFO)
    check_problem(await client.request(case.method, case.path, **case.request), case.status, case.code, case.field)
    assert log_lines(caplog)
    assert SECRET not in "".join(log_lines(caplog))


async def test_input_within_the_limits_is_accepted(client: httpx.AsyncClient) -> None:
    assert (await client.post("/verify", files=pair())).status_code == 200
    largest = encode(portrait(1, size=(500, 500)))
    padded = encode(portrait(1)) + bytes(LIMITS["max_image_bytes"] - len(ANNA))
    assert (await client.post("/verify", files=pair(largest, padded))).status_code == 200


async def test_wrong_method_gets_allow_header(client: httpx.AsyncClient) -> None:
    assert (await client.get("/verify")).headers["allow"] == "POST"


def test_every_row_of_the_table_is_tested() -> None:
    elsewhere = NOT_OF_ONE_REQUEST | OF_HEADS | OF_FACES | OF_EMBEDDINGS | OF_BATCHES
    assert {case.code for case in CASES} | elsewhere == set(BY_CODE)
    assert all(BY_CODE[case.code].status == case.status for case in CASES)
