"""Prometheus metrics of the service."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 45, 90, 180)

# The problems that are counted as refusals.
REFUSALS = ("queue_full", "out_of_memory", "device_lost", "deadline_passed")


class Metrics:
    """The metrics of one application, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
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
        self.large_pixels_in_progress = Gauge(
            "facepair_large_pixels_in_progress", "Work of large images in progress, in pixels", registry=self.registry
        )
        self.refusals = Counter("facepair_refusals", "Requests refused or given up", ["reason"], registry=self.registry)
        for reason in REFUSALS:
            self.refusals.labels(reason)  # shown as 0, since a series that begins with 1 shows no increase
        self.model_info = Gauge(
            "facepair_model_info",
            "Always 1; the labels name the model that is served",
            ["name", "embedding_sha256", "device"],
            registry=self.registry,
        )

    def observe_stage(self, stage: str, seconds: float) -> None:
        """Counts one stage of one image or request."""
        self.stage_seconds.labels(stage).observe(seconds)

    def show(self) -> bytes:
        """All of them as Prometheus reads them."""
        return generate_latest(self.registry)
