"""Clients that send one request at a time each, at a steady rate or as fast as they are answered."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.app.support.requests import ANNA, BERTA, MULTIPART, multipart
from tests.app.support.service import PATIENCE_S
from tests.drawing import encode, portrait

CLIENTS = 4
PHOTOGRAPH_BYTES = 5_000_000
DRAWN = encode(portrait(1), "JPEG")
PHOTOGRAPH = DRAWN + bytes(PHOTOGRAPH_BYTES - len(DRAWN))
SMALL = multipart(("image1", ANNA), ("image2", BERTA))
LARGE = multipart(("image1", PHOTOGRAPH), ("image2", PHOTOGRAPH))
# Of so many requests one has two photographs of 5 MB.
LARGE_EVERY = 5


class Load:
    """What the clients saw: how many requests there were, by status or by exception, and how many were large."""

    def __init__(self, url: str, rate: float | None) -> None:
        """`rate` is requests a second of all clients together."""
        self.answers: Counter[str] = Counter()
        self.large = 0
        self.seconds = 0.0
        self._url = url
        self._interval_s = CLIENTS / rate if rate else 0.0
        self._stop = threading.Event()
        self._lock = threading.Lock()

    @property
    def rate(self) -> float:
        """Requests answered a second."""
        return self.answers.total() / self.seconds

    def __str__(self) -> str:
        return f"{self.rate:.1f} a second for {self.seconds:.0f} s, {self.large} of them large: {dict(self.answers)}"

    def stop(self) -> None:
        self._stop.set()

    def run_client(self, number: int) -> None:
        """Sends until told to stop; a client that is behind its times does not catch up."""
        with httpx.Client(base_url=self._url, timeout=PATIENCE_S, trust_env=False) as client:
            due = time.monotonic() + self._interval_s * number / CLIENTS
            sent = number
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                due = max(due + self._interval_s, time.monotonic())
                sent += 1
                self._count(*self._send(client, large=sent % LARGE_EVERY == 0))

    def _send(self, client: httpx.Client, large: bool) -> tuple[str, bool]:
        try:
            answer = client.post("/verify", content=LARGE if large else SMALL, headers=MULTIPART)
        except httpx.HTTPError as error:
            return repr(error), large
        return str(answer.status_code), large

    def _count(self, answer: str, large: bool) -> None:
        with self._lock:
            self.answers[answer] += 1
            self.large += large


@contextmanager
def loading(url: str, rate: float | None = None) -> Iterator[Load]:
    """Clients that send while the context lasts."""
    load = Load(url, rate)
    threads = [threading.Thread(target=load.run_client, args=(number,)) for number in range(CLIENTS)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.stop()
        for thread in threads:
            thread.join()
        load.seconds = time.monotonic() - started
