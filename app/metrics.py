"""Prometheus metrics of the service."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
    start_http_server,
)

from app.logs import dropped_lines
from app.token_bucket import TokenBucket
from model.similarity import Decision

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 45, 90, 180)

# Making them takes a millisecond or two of the event loop.
SHOWN_PER_S = 10


class Metrics:
    """The metrics of one application, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.trace_stages: Callable[[Mapping[str, float]], None] | None = None
        """Also told of stages, if requests are traced."""
        ProcessCollector(registry=self.registry)  # of the service's own process, without its decoders
        self._fresh = TokenBucket(SHOWN_PER_S)
        self._shown = b""
        self.requests = Counter("facepair_requests", "Requests answered", ["route", "status"], registry=self.registry)
        self.request_seconds = Histogram(
            "facepair_request_seconds", "From first byte to last", ["route"], buckets=SECONDS, registry=self.registry
        )
        self.stage_seconds = Histogram(
            "facepair_stage_seconds",
            "Time in a stage: decoder_queue, decode, face, network_queue or inference",
            ["stage"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.batch_images = Histogram(
            "facepair_batch_images", "Images in a batch", buckets=(1, 2, 4, 8, 16, 32, 64), registry=self.registry
        )
        self.images_arriving = Gauge(
            "facepair_images_arriving", "Images whose uploads are under way", registry=self.registry
        )
        self.images_in_progress = Gauge(
            "facepair_images_in_progress", "Images decoded, waiting or in the network", registry=self.registry
        )
        self.bytes_held = Gauge(
            "facepair_bytes_held",
            "Bytes of uploads in memory, until their answer",
            registry=self.registry,
        )
        self.large_pixels_in_progress = Gauge(
            "facepair_large_pixels_in_progress", "Work of large images in progress, in pixels", registry=self.registry
        )
        self.problems = Counter(
            "facepair_problems", "Requests answered with an error", ["code"], registry=self.registry
        )
        self.decisions = Counter("facepair_decisions", "Pairs decided", ["decision"], registry=self.registry)
        for decision in get_args(Decision):
            self.decisions.labels(decision)  # shown as 0, since a series that begins with 1 shows no increase
        self.connections = Gauge("facepair_connections", "Connections of clients", registry=self.registry)
        self.connections_closed = Counter(
            "facepair_connections_closed", "Connections closed to let another one in", registry=self.registry
        )
        self.log_lines_dropped = Gauge(
            "facepair_log_lines_dropped", "Log lines that nobody read in time", registry=self.registry
        )
        self.log_lines_dropped.set_function(dropped_lines)
        # Kept, since looking one up costs several times as much as counting. Values of labels are few.
        self._requests_of, self._seconds_of = cache(self.requests.labels), cache(self.request_seconds.labels)
        self._problems_of, self._stage_of = cache(self.problems.labels), cache(self.stage_seconds.labels)
        self.model_info = Gauge(
            "facepair_model_info",
            "Always 1; the labels name the model that is served",
            ["name", "embedding_sha256", "device"],
            registry=self.registry,
        )

    def count_answer(self, route: str, status: int, code: str | None, seconds: float) -> None:
        """Counts an answer by its route and status, and by the code of its problem if it has one."""
        self._requests_of(route, status).inc()
        self._seconds_of(route).observe(seconds)
        if code:
            self._problems_of(code).inc()

    def observe_stages(self, seconds: Mapping[str, float]) -> None:
        """Counts stages of one image or request, which came one after the other and have just ended."""
        for stage, each in seconds.items():
            self._stage_of(stage).observe(each)
        if self.trace_stages:
            self.trace_stages(seconds)

    def listen(self, host: str, port: int) -> None:
        """Shows them on a port of their own, from threads."""
        start_http_server(port, host, self.registry)

    def show(self) -> bytes:
        """All of them as Prometheus reads them; made anew at most SHOWN_PER_S times a second."""
        if self._fresh.try_take():
            self._shown = generate_latest(self.registry)
        return self._shown
