"""OpenTelemetry traces of requests, sent to a collector if the operator names one.

FastAPI makes the span of a request, and reads and honours `traceparent`. The spans of its stages are made here. Nothing
of an image, no query and no path that is not a route's becomes part of a trace.
"""

import threading
import time
from collections.abc import Collection, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Self

from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace

from model import __version__
from model.errors import FacepairError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

# How long one export, and the last one at the end of the process, may take.
EXPORT_WITHIN_S = 5
LAST_EXPORT_WITHIN_S = 1.0
# FastAPI would otherwise send logs and metrics where its own environment variables say.
OFF = TelemetryConfig(tracing=False, metrics=False, logs=False, auto_configure=False)


class TracesError(FacepairError):
    """Traces cannot be sent."""


class Traces:
    """Where spans go. They are sent in batches from a thread, so a collector that does not answer delays no request."""

    def __init__(self, provider: "TracerProvider") -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("facepair", __version__)

    @classmethod
    def to(cls, url: str) -> Self:
        """Sends spans to a collector, by OTLP over HTTP. Raises TracesError without the extra `traces`."""
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise TracesError("traces need further packages: .venv/bin/pip install -e '.[traces]'") from error
        own = Resource.create({SERVICE_NAME: "facepair", "service.version": __version__})
        provider = TracerProvider(resource=own.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url, timeout=EXPORT_WITHIN_S)))
        return cls(provider)

    def configure(self, paths: Collection[str]) -> TelemetryConfig:
        """FastAPI's configuration, by which requests to these paths have spans, unless they have a query."""

        def exclude(scope: MutableMapping[str, Any]) -> bool:
            return scope["path"] not in paths or bool(scope["query_string"])

        return TelemetryConfig(
            tracing=True,
            tracer_provider=self._provider,
            operation_spans=False,
            exclude=exclude,
            metrics=False,
            logs=False,
            auto_configure=False,
        )

    def record_stages(self, seconds: Mapping[str, float]) -> None:
        """Spans of stages that came one after the other and have just ended, below the current span if it is traced."""
        if not trace.get_current_span().is_recording():
            return
        ended = time.time_ns()
        begun = ended - sum(map(_nanoseconds, seconds.values()))
        for stage, each in seconds.items():
            span = self._tracer.start_span(stage, start_time=begun)
            begun += _nanoseconds(each)
            span.end(begun)

    def close(self) -> None:
        """Sends what is left, if that does not take long."""
        last = threading.Thread(target=self._provider.shutdown, daemon=True)
        last.start()
        last.join(LAST_EXPORT_WITHIN_S)


def current_trace_id() -> str | None:
    """The id of the trace that the current request belongs to, 32 hexadecimal digits; None if it is not traced."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
