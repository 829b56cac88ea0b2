"""A service whose queue is full for as long as a test wants."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx

from benchmarks.processes import family, resume, stop
from tests.app.support.requests import pair
from tests.app.support.service import PATIENCE_S, Service
from tests.app.support.waiting import wait_until
from tests.drawing import encode
from tests.faces import head_at, scene

# Models of whole pictures and of faces answer it alike.
FACE = encode(scene(head_at(1)))


@contextmanager
def full_queue(service: Service, requests: int = 1) -> Iterator[None]:
    """So many verifications are in progress, and none goes on, since the decoders are stopped meanwhile."""
    decoders = family(service.process.pid)[1:]
    with httpx.Client(base_url=service.url, timeout=PATIENCE_S) as client, ThreadPoolExecutor(requests) as senders:
        for each in decoders:
            stop(each)
        try:
            sent = [senders.submit(client.post, "/verify", files=pair(FACE, FACE)) for _ in range(requests)]
            wait_until(lambda: f"facepair_images_in_progress {2.0 * requests}" in client.get("/metrics").text)
            yield
        finally:
            for each in decoders:
                resume(each)
    assert [each.result().status_code for each in sent] == [200] * requests
