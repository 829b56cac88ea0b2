"""Prometheus metrics, which add up over workers: each keeps its values in files that outlive it, and any can read all.

The files carry a worker's number, not its process: a successor goes on where its predecessor ended, so that no counter
ever goes back and no file is left over.
"""

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
MEMORY = Path("/dev/shm")  # noqa: S108 (only the place; the folder in it has a name of its own)
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 45)


class Metrics:
    """The metrics of one application, in a registry of its own, or of all workers, added up in a folder."""

    def __init__(self, folder: Path | None = None) -> None:
        """With a folder, `use_worker_files` comes first."""
        self.registry = self._shown = CollectorRegistry()
        if folder:
            self._shown = CollectorRegistry()
            MultiProcessCollector(self._shown, str(folder))  # type: ignore[no-untyped-call]
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
            "facepair_images_arriving", "Images whose uploads are under way", registry=self.registry,
            multiprocess_mode="livesum",
        )  # fmt: skip
        self.images_in_progress = Gauge(
            "facepair_images_in_progress", "Images decoded, waiting or in the network", registry=self.registry,
            multiprocess_mode="livesum",
        )  # fmt: skip
        self.refusals = Counter("facepair_refusals", "Requests refused or given up", ["reason"], registry=self.registry)
        self.model_info = Gauge(
            "facepair_model_info", "Always 1; the labels name the model that is served",
            ["name", "embedding_sha256", "device"], registry=self.registry, multiprocess_mode="livemax",
        )  # fmt: skip

    def show(self) -> bytes:
        """All of them as Prometheus reads them."""
        return generate_latest(self._shown)


def metrics_parent() -> Path | None:
    """Where the workers' folder of metrics should be: in memory, if it can be; None for the system's own choice."""
    return MEMORY if os.access(MEMORY, os.W_OK | os.X_OK) else None


def use_worker_files(folder: Path, number: int) -> None:
    """From now on this process's metrics are worker `number`'s part of those in the folder."""
    os.environ[FOLDER] = str(folder)
    values.ValueClass = values.MultiProcessValue(lambda: number)  # type: ignore[no-untyped-call]


def drop_gauges(folder: Path, number: int) -> None:
    """Takes what only a living worker has, its gauges, out of the sums."""
    mark_process_dead(number, str(folder))  # type: ignore[no-untyped-call]
