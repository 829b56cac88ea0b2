"""Traces as a collector receives them."""

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from app.settings import Settings
from app.traces import Traces, TracesError
from model.verifier import Verifier
from tests.app.support.requests import FILE_NAME, SECRET, check_problem, files, log_lines, pair
from tests.conftest import client_of

pytestmark = pytest.mark.anyio

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
# Of each image; of the request. A model of whole pictures looks for no face.
STAGES = ["decoder_queue", "decode"], ["network_queue", "inference"]


class Collector:
    """A collector of OTLP over HTTP on this machine."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v1/traces"
        self.bodies: list[bytes] = []

    @property
    def requests(self) -> list[ExportTraceServiceRequest]:
        return [ExportTraceServiceRequest.FromString(body) for body in self.bodies]

    @property
    def spans(self) -> list[Span]:
        """In the order of their beginnings."""
        found = [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        return sorted(found, key=lambda span: (span.start_time_unix_nano, -span.end_time_unix_nano))

    def server_spans(self) -> list[Span]:
        return [span for span in self.spans if span.kind == Span.SPAN_KIND_SERVER]


@pytest.fixture
def collector() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            found.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *values: object) -> None:  # noqa: A002 (its name there)
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Collector(server.server_port)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield found
        server.shutdown()


@pytest.fixture
def traced(settings: Settings, collector: Collector) -> Settings:
    return settings.model_copy(update={"traces_url": collector.url})


def attributes(span: Span) -> dict[str, str]:
    return {each.key: each.value.string_value or str(each.value.int_value) for each in span.attributes}


async def test_a_request_and_its_stages_are_in_the_caller_s_trace(
    traced: Settings, verifier: Verifier, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-ID": "mine"}
    async with client_of(traced, verifier) as client:
        assert (await client.post("/verify", files=pair(), headers=headers)).status_code == 200
    [server] = collector.server_spans()
    assert (server.name, server.trace_id.hex(), server.parent_span_id.hex()) == ("POST /verify", TRACE, PARENT)
    shown = attributes(server)
    assert shown["http.route"] == "/verify"
    assert shown["http.response.status_code"] == "200"
    assert shown["facepair.request_id"] == "mine"
    assert "error.type" not in shown
    stages = [span for span in collector.spans if span is not server and span.kind != Span.SPAN_KIND_SERVER]
    assert sorted(span.name for span in stages) == sorted(2 * STAGES[0] + STAGES[1])
    for span in stages:
        assert (span.trace_id, span.parent_span_id) == (server.trace_id, server.span_id)
        assert span.end_time_unix_nano >= span.start_time_unix_nano
    network = [span for span in stages if span.name in STAGES[1]]
    assert network[0].end_time_unix_nano == network[1].start_time_unix_nano
    [line] = [line for line in log_lines(caplog) if '"route": "/verify"' in line]
    assert f'"trace_id": "{TRACE}"' in line


async def test_an_error_is_named_by_its_code(traced: Settings, verifier: Verifier, collector: Collector) -> None:
    async with client_of(traced, verifier) as client:
        check_problem(await client.post("/embed", files=files(("image", b""))), 422, "empty_image", "image[0]")
    assert [attributes(span)["error.type"] for span in collector.server_spans()] == ["empty_image"]


async def test_nothing_of_an_image_or_of_what_is_no_route_is_traced(
    traced: Settings, verifier: Verifier, collector: Collector
) -> None:
    async with client_of(traced, verifier) as client:
        await client.post("/verify", files=pair(), headers={"User-Agent": SECRET, "Cookie": SECRET})
        for path in (f"/{SECRET}", f"/verify/{SECRET}", f"/verify?key={SECRET}"):
            await client.post(path, files=pair())
        for path in ("/health/ready", "/metrics", "/info", "/"):
            await client.get(path)
    assert [span.name for span in collector.server_spans()] == ["POST /verify"]
    assert not any(text.encode() in body for text in (SECRET, FILE_NAME) for body in collector.bodies)


async def test_the_service_is_named(
    traced: Settings, verifier: Verifier, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("facepair", "faces-2"):
        async with client_of(traced, verifier) as client:
            await client.post("/verify", files=pair())
        resource = collector.requests[-1].resource_spans[0].resource
        assert {each.key: each.value.string_value for each in resource.attributes}["service.name"] == name
        monkeypatch.setenv("OTEL_SERVICE_NAME", "faces-2")


async def test_without_the_setting_nothing_is_traced(
    client: httpx.AsyncClient, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await client.post("/verify", files=pair(), headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    assert collector.bodies == []
    assert not any("trace_id" in line for line in log_lines(caplog))


async def test_a_collector_that_does_not_answer_delays_nobody(settings: Settings, verifier: Verifier) -> None:
    dead = settings.model_copy(update={"traces_url": "http://127.0.0.1:9/v1/traces"})
    async with client_of(dead, verifier) as client:
        assert (await client.post("/verify", files=pair())).status_code == 200


def test_without_the_extra_the_start_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(TracesError, match=r"pip install -e '\.\[traces\]'"):
        Traces.to("http://127.0.0.1:9/v1/traces")
