"""Threads that end as nobody expects."""

import threading
from concurrent.futures import thread as pools


class _Ending:
    """A job of a pool that ends its thread."""

    def run(self) -> None:
        raise SystemExit


def end_thread(thread: threading.Thread) -> None:
    """Ends an idle thread of a `ThreadPoolExecutor`, outside of any job that the pool knows."""
    pools._threads_queues[thread].put(_Ending())
    thread.join(10)
    assert not thread.is_alive()
