"""A service of several workers: which process each is, and clients that keep it busy."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from app.channel import Orders
from tests.app.asking import pair
from tests.app.service import PATIENCE_S, Line, Service


def wait_until(holds: Callable[[], bool]) -> None:
    """Until it holds; nothing tells of it."""
    ends = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.01)


class Crew:
    """The workers of a service, as its log names them."""

    def __init__(self, service: Service, count: int) -> None:
        self.service = service
        self.url = service.url
        self._count = count
        self.wait_until_complete()

    def lines(self, message: str) -> list[Line]:
        """The lines of the log so far that say this."""
        lines: list[Line] = [json.loads(text) for text in list(self.service.log)]
        return [line for line in lines if line["message"] == message]

    def pids(self) -> dict[int, int]:
        """The last process of each worker that was ready."""
        return {line["worker"]: line["pid"] for line in self.lines("worker ready")}

    def alive(self) -> list[int]:
        """Those of all processes that ever were workers which have not ended."""
        return [line["pid"] for line in self.lines("worker ready") if is_alive(line["pid"])]

    def wait_until_complete(self) -> None:
        """Until each worker is ready, successors included."""
        wait_until(lambda: len(self.pids()) == self._count and all(map(is_alive, self.pids().values())))

    def metrics_folder(self) -> Path:
        """Where the workers keep what they count, as a living one was told."""
        orders = Path(f"/proc/{self.alive()[0]}/cmdline").read_bytes().split(b"\0")[-2]
        return Orders.model_validate_json(orders).metrics

    def served(self) -> set[int]:
        """The workers that have answered a verification."""
        return {line["worker"] for line in self.lines("request") if line["route"] == "/verify"}

    def counted(self) -> int:
        """The verifications that the metrics say were answered."""
        return self._sum(
            lambda sample: sample.name == "facepair_requests_total" and sample.labels["route"] == "/verify"
        )

    def in_progress(self) -> int:
        """The images that the metrics say are in progress."""
        return self._sum(lambda sample: sample.name == "facepair_images_in_progress")

    def _sum(self, wanted: Callable[[Sample], bool]) -> int:
        text = httpx.get(f"{self.url}/metrics", timeout=PATIENCE_S, trust_env=False).text
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return round(sum(sample.value for sample in samples if wanted(sample)))


def is_alive(pid: int) -> bool:
    """Whether a process has not ended; one that nobody has waited for yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@dataclass(frozen=True)
class Request:
    """A verification over a connection of its own: when it was begun, and its status, 0 if it had no answer."""

    began: float
    status: int


class Load:
    """Clients that verify one pair after the other."""

    def __init__(self, url: str, clients: int) -> None:
        self.ended: list[Request] = []
        self._url = url
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Returns when each client has its last answer."""
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def wait_for(self, more: int) -> None:
        """Until so many more requests have ended."""
        wanted = len(self.ended) + more
        wait_until(lambda: len(self.ended) >= wanted)

    def _ask(self) -> None:
        headers = {"Connection": "close"}
        with httpx.Client(base_url=self._url, headers=headers, timeout=PATIENCE_S, trust_env=False) as client:
            while not self._stop.is_set():
                began = time.monotonic()
                try:
                    status = client.post("/verify", files=pair()).status_code
                except httpx.TransportError:
                    status = 0
                self.ended.append(Request(began, status))


@contextmanager
def loading(url: str, clients: int) -> Iterator[Load]:
    """Clients that are stopped at the end."""
    load = Load(url, clients)
    load.start()
    try:
        yield load
    finally:
        load.stop()
