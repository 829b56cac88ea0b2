"""What the tests of the service share: requests, and the shape of its answers."""

import logging
from typing import Any

import httpx
import pytest

from app.api.problems import BY_CODE
from app.logs import JsonFormatter
from tests.drawing import encode, portrait

ANNA = encode(portrait(1))
BERTA = encode(portrait(2))
# The names of uploaded files begin with this, and hostile values have it in them; no answer and no log line may.
SECRET = "SECRET"
FILE_NAME = f"{SECRET}NAME.jpg"
PROBLEM_KEYS = {"type", "title", "status", "detail", "code", "field", "request_id"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=edge"}
JSON = {"Content-Type": "application/json"}
# Of an image of which a model of whole pictures sees no faces.
NO_FACES: dict[str, Any] = {"faces_found": None, "face": None, "faces": None, "warnings": []}

Files = list[tuple[str, tuple[str, bytes]]]


def files(*parts: tuple[str, bytes]) -> Files:
    """File parts for httpx, under a name that must not come back."""
    return [(name, (FILE_NAME, data)) for name, data in parts]


def pair(left: bytes = ANNA, right: bytes = BERTA) -> Files:
    """The two parts of /verify."""
    return files(("image1", left), ("image2", right))


def multipart(*parts: tuple[str, bytes]) -> bytes:
    """A body as bytes, for tests that damage it; it goes with the headers `MULTIPART`."""
    form = 'Content-Disposition: form-data; name="{}"; filename="{}"\r\n\r\n'
    body = b"".join(b"--edge\r\n" + form.format(name, FILE_NAME).encode() + data + b"\r\n" for name, data in parts)
    return body + b"--edge--\r\n"


async def embed(client: httpx.AsyncClient, *images: bytes, **fields: str) -> dict[str, Any]:
    """The answer of /embed."""
    response = await client.post("/embed", files=files(*(("image", image) for image in images)), data=fields)
    assert response.status_code == 200
    answer: dict[str, Any] = response.json()
    return answer


async def detect(client: httpx.AsyncClient, *images: bytes) -> list[dict[str, Any]]:
    """What /detect says of the images."""
    response = await client.post("/detect", files=files(*(("image", image) for image in images)))
    assert response.status_code == 200, response.text
    reports: list[dict[str, Any]] = response.json()["images"]
    return reports


async def compare_request(client: httpx.AsyncClient, encoding: str = "float") -> dict[str, Any]:
    """A body that /compare answers."""
    answers = [await embed(client, image, encoding_format=encoding) for image in (ANNA, BERTA)]
    left, right = [answer["data"][0]["embedding"] for answer in answers]
    return {"embedding1": left, "embedding2": right, "embedding_sha256": answers[0]["model"]["embedding_sha256"]}


async def verify(client: httpx.AsyncClient, left: bytes = ANNA, right: bytes = BERTA, **fields: str) -> dict[str, Any]:
    """The answer of /verify."""
    response = await client.post("/verify", files=pair(left, right), data=fields)
    assert response.status_code == 200
    answer: dict[str, Any] = response.json()
    return answer


def check_problem(response: httpx.Response, status: int, code: str, field: str | None = None) -> None:
    """The one shape of every error, and nothing of the request in it."""
    answer = response.json()
    assert (response.status_code, answer["code"], answer["field"]) == (status, code, field), answer
    assert response.headers["content-type"] == "application/problem+json"
    assert set(answer) == PROBLEM_KEYS
    assert answer["status"] == status
    assert answer["type"] == f"urn:facepair:problem:{code}"
    assert answer["title"] == BY_CODE[code].title
    assert answer["detail"]
    assert "\n" not in answer["detail"]
    assert answer["request_id"] == response.headers["x-request-id"]
    assert SECRET not in response.text
    assert SECRET not in str(response.headers)


def log_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the service wrote, as it writes it; the client's own lines are left out."""
    return [JsonFormatter().format(record) for record in caplog.records if not _of_the_client(record)]


def _of_the_client(record: logging.LogRecord) -> bool:
    return record.name.startswith(("httpx", "httpcore"))
