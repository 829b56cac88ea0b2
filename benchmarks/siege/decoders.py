"""Attacks on the service's own processes, as a lack of memory or an operator's mistake would be."""

import asyncio
import os
import random
import signal
from contextlib import suppress

from benchmarks.processes import family
from benchmarks.siege.targets import Counts, Target


def decoders_of(service_pid: int) -> list[int]:
    """The decoders of a service: what its fork server has forked."""
    return family(service_pid)[2:]


async def killed_decoders(target: Target, counts: Counts) -> None:
    """One of them twice a second."""
    draws = random.Random(0)
    while True:
        if decoders := decoders_of(target.service_pid):
            with suppress(ProcessLookupError):
                os.kill(draws.choice(decoders), signal.SIGKILL)
            counts["killed"] += 1
        await asyncio.sleep(0.5)


async def stopped_decoder(target: Target, counts: Counts) -> None:
    """One of them, and its successors, until the attack ends."""
    stopped: set[int] = set()
    try:
        while True:
            decoders = decoders_of(target.service_pid)
            stopped &= set(decoders)
            if decoders and not stopped:
                os.kill(decoders[0], signal.SIGSTOP)
                stopped.add(decoders[0])
                counts["stopped"] += 1
            await asyncio.sleep(0.1)
    finally:
        for each in stopped:
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGCONT)
