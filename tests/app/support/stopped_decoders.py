"""Decoders that stand still for a while, as if an image took long, which the service does not notice."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from unittest.mock import patch

from app.engine import decoder_process
from app.engine.decoder_pool import Decoders


@contextmanager
def stopped(decoders: Decoders) -> Iterator[None]:
    """All that there are at the beginning; they go on at the end."""
    pids = list(decoders.pids)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        with patch.object(decoder_process, "LOOK_S", 3600.0):
            yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
