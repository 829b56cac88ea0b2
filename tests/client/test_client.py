"""The official client: what it sends, what it raises, and when it sends again. The service is the real application."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import httpx
import numpy as np
import pytest
from facepair_client import AsyncFacepair, Facepair, Retries, ServiceError, answers

from app.settings import Settings
from model.verifier import Verifier
from tests.app.support.requests import ANNA, BERTA
from tests.conftest import app_of

pytestmark = pytest.mark.anyio

NAMES_OF_API = {
    "Decided": "DecisionReport",
    "Embeddings": "EmbeddingList",
    "Face": "FaceReport",
    "Model": "ModelName",
    "Pair": "PairReport",
    "Problem": "ProblemDetail",
    "Quality": "QualityReport",
}
TYPES = [name for name, each in vars(answers).items() if hasattr(each, "__total__")]


@pytest.fixture
async def service(settings: Settings, verifier: Verifier) -> AsyncIterator[AsyncFacepair]:
    async with (
        app_of(settings, verifier) as (app, _),
        AsyncFacepair("http://test", transport=httpx.ASGITransport(app)) as client,
    ):
        yield client


async def test_photographs_are_verified(service: AsyncFacepair, tmp_path: Path) -> None:
    (tmp_path / "anna.png").write_bytes(ANNA)
    for image in (tmp_path / "anna.png", str(tmp_path / "anna.png"), bytearray(ANNA), memoryview(ANNA)):
        answer = await service.verify(image, ANNA, threshold=0.25, face="none")
        assert (answer["decision"], answer["threshold"]) == ("same", 0.25)
    several = await service.verify([ANNA, BERTA], [ANNA])
    assert [image["field"] for image in several["images"]] == ["image1[0]", "image1[1]", "image2"]


async def test_a_batch_has_a_result_or_a_problem_for_each_pair(service: AsyncFacepair) -> None:
    pairs = (await service.verify_batch(ANNA, [ANNA, b"no image"]))["pairs"]
    assert pairs[0]["decided"] is not None
    assert pairs[1]["problem"] is not None
    assert pairs[1]["problem"]["code"] == "unsupported_image"


async def test_embeddings_are_compared_as_they_are_kept(service: AsyncFacepair) -> None:
    verified = await service.verify(ANNA, BERTA)
    embedded = await service.embed([ANNA, BERTA], on_error="report")
    digest = embedded["model"]["embedding_sha256"]
    one, other = (face["embedding"] for face in embedded["data"])
    coded = await service.embed([ANNA, BERTA], encoding_format="base64")
    first, second = (face["embedding"] for face in coded["data"])
    forms: list[tuple[Any, Any]] = [(one, other), (np.array(one), tuple(other)), (np.array([one]), [other])]
    for left, right in [*forms, (first, second), ([first], second)]:
        answer = await service.compare(left, right, embedding_sha256=digest)
        assert answer["similarity"] == pytest.approx(verified["similarity"], abs=1e-5)


async def test_info_and_detect_ask_their_routes(service: AsyncFacepair) -> None:
    assert (await service.info())["limits"]["max_images"] == 8
    with pytest.raises(ServiceError) as refused:
        await service.detect(ANNA)
    assert (refused.value.status, refused.value.code) == (409, "whole_pictures")


async def test_an_error_says_what_the_service_said(service: AsyncFacepair) -> None:
    with pytest.raises(ServiceError, match="unsupported_image in image2: ") as refused:
        await service.verify(ANNA, b"no image")
    error = refused.value
    assert (error.status, error.field) == (415, "image2")
    assert error.request_id


class Answers:
    """A service that gives these answers, one after the other; None breaks the connection."""

    def __init__(self, *answers: httpx.Response | None) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.asked.append(request)
        answer = self.answers.pop(0)
        if answer is None:
            raise httpx.ReadError("broken")
        return answer


def busy(status: int = 429, **headers: str) -> httpx.Response:
    body = {"code": "queue_full", "detail": "send the request again", "field": None}
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json=body, headers={"Content-Type": "application/problem+json", **names})


def done() -> httpx.Response:
    return httpx.Response(200, json={"decision": "same"})


Ask = Callable[..., Any]


def ask_synchronously(answers: Answers, **options: Any) -> Any:
    with Facepair("http://test", transport=httpx.MockTransport(answers), **options) as service:
        return service.verify(ANNA, BERTA, max_fmr=0.01)


def ask_with_asyncio(answers: Answers, **options: Any) -> Any:
    async def ask() -> Any:
        async with AsyncFacepair("http://test", transport=httpx.MockTransport(answers), **options) as service:
            return await service.verify(ANNA, BERTA, max_fmr=0.01)

    return asyncio.run(ask())


@pytest.fixture(params=[ask_synchronously, ask_with_asyncio])
def ask(request: pytest.FixtureRequest) -> Ask:
    found: Ask = request.param
    return found


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between attempts, which take no time."""
    found: list[float] = []

    async def note(wait_s: float) -> None:
        found.append(wait_s)

    monkeypatch.setattr("facepair_client.client.sleep", found.append)
    monkeypatch.setattr("facepair_client.client.sleep_async", note)
    return found


def test_a_busy_service_is_asked_again_when_it_says(ask: Ask, waits: list[float]) -> None:
    answers = Answers(busy(Retry_After="3"), busy(503, Retry_After="7"), done())
    assert ask(answers)["decision"] == "same"
    first, second = waits
    assert 3 <= first <= 3.75
    assert 7 <= second <= 8.75
    assert len({request.content.count(ANNA) for request in answers.asked}) == 1  # the images are sent each time
    assert all(b"0.01" in request.content for request in answers.asked)


def test_without_retry_after_waits_double(ask: Ask, waits: list[float]) -> None:
    assert ask(Answers(busy(503), None, busy(503), done()))["decision"] == "same"
    for wait_s, least in zip(waits, (0.5, 1, 2), strict=True):
        assert least <= wait_s <= 1.25 * least


def test_it_gives_up_after_its_attempts(ask: Ask, waits: list[float]) -> None:
    with pytest.raises(ServiceError, match="queue_full: send the request again"):
        ask(Answers(*[busy(Retry_After="1")] * 3), retries=Retries(attempts=3))
    assert len(waits) == 2
    with pytest.raises(httpx.ReadError):
        ask(Answers(None), retries=Retries(attempts=1))


@pytest.mark.parametrize(("status", "retry_after"), [(429, "31"), (422, "1"), (504, "1"), (401, "1")])
def test_other_errors_and_long_waits_are_raised_at_once(
    ask: Ask, waits: list[float], status: int, retry_after: str
) -> None:
    with pytest.raises(ServiceError):
        ask(Answers(busy(status, Retry_After=retry_after)))
    assert waits == []


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 0, 0),
        ("Wed Oct 21 07:28:00 2015", 0, 0),
        ("soon", 0.5, 0.625),
        ("-3", 0.5, 0.625),
        ("", 0.5, 0.625),
    ],
)
def test_retry_after_may_be_a_date(ask: Ask, waits: list[float], text: str, least: float, most: float) -> None:
    ask(Answers(busy(Retry_After=text), done()))
    [wait_s] = waits
    assert least <= wait_s <= most


def test_a_page_of_a_balancer_is_an_error_too(ask: Ask) -> None:
    with pytest.raises(ServiceError, match="http_error: the answer has the status 502"):
        ask(Answers(httpx.Response(502, html="<h1>Bad gateway</h1>")))
    problem = {"Content-Type": "application/problem+json"}
    with pytest.raises(ServiceError, match="http_error: upstream is gone"):
        ask(Answers(httpx.Response(502, json={"detail": "upstream is gone"}, headers=problem)))
    for content in (b"", b"[]", b"<h1>"):
        with pytest.raises(ServiceError, match="http_error: the answer has the status 502"):
            ask(Answers(httpx.Response(502, content=content, headers=problem)))


def test_the_key_is_sent(ask: Ask) -> None:
    answers = Answers(done())
    ask(answers, api_key="k" * 20)
    assert answers.asked[0].headers["authorization"] == "Bearer " + "k" * 20


def test_a_key_that_was_read_from_a_file_is_sent_without_its_line_end(ask: Ask) -> None:
    answers = Answers(done())
    ask(answers, api_key="k" * 20 + "\r\n")
    assert answers.asked[0].headers["authorization"] == "Bearer " + "k" * 20


@pytest.mark.parametrize("key", ["", " \n", "secret secret", "secret\nsecret", "s\u00e9cret"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ValueError, match="api_key must be one line") as error:
        Facepair("http://test", api_key=key)
    assert "cret" not in str(error.value)


@pytest.mark.parametrize("images", [[], ()])
def test_no_images_are_refused(images: Any) -> None:
    with Facepair("http://test") as service, pytest.raises(ValueError, match="there are no images"):
        service.embed(images)


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "anna.png").write_bytes(ANNA)
    with Facepair("http://test") as service, (tmp_path / "anna.png").open("rb") as opened:
        images: list[Any] = [opened, 1, [ANNA, 0.5], None]
        for image in images:
            with pytest.raises(TypeError, match="an image is a path or bytes, not "):
                service.embed(image)


def test_further_headers_are_sent_with_the_key(ask: Ask) -> None:
    answers = Answers(done())
    ask(answers, api_key="k" * 20, headers={"X-Request-ID": "mine"})
    assert answers.asked[0].headers["authorization"] == "Bearer " + "k" * 20
    assert answers.asked[0].headers["x-request-id"] == "mine"


def test_at_least_one_attempt_is_made() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Retries(attempts=0)


@pytest.mark.parametrize("name", TYPES)
def test_types_are_those_of_the_http_api(openapi: dict[str, Any], name: str) -> None:
    schema = openapi["components"]["schemas"][NAMES_OF_API.get(name, name)]
    hints = get_type_hints(getattr(answers, name))
    assert set(hints) == set(schema["properties"])
    for field, hint in hints.items():
        nullable = {"type": "null"} in schema["properties"][field].get("anyOf", [])
        assert (type(None) in get_args(hint)) == nullable, field
        if get_origin(hint) is list:
            assert schema["properties"][field]["type"] == "array", field
