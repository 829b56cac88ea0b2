"""How many processes and threads a service has for the cores that it may use.

Unless the settings say otherwise, there is a thread of the network for each core, and one decoder more than there are
cores. `app.engine.inference` says how many threads a pass of the network has.
"""

import os
from pathlib import Path

from app.settings import Settings

# A decoder waits from its answer to its next image, and this one uses its core meanwhile.
FURTHER_DECODERS = 1
# Queue slots before the replica knows how fast it is, and the fewest at any time: enough to keep every core busy.
FIRST_PER_CORE, MIN_FIRST = 5, 10
# The most slots, for a burst of large or slow images after small ones.
QUEUE_PER_CORE, MIN_QUEUE = 128, 256
# Work of large images in progress, in pixels: about two seconds for each core.
LARGE_PIXELS_PER_CORE = 64_000_000
# Where Linux says how much of the processors a container may use.
QUOTA = Path("/sys/fs/cgroup/cpu.max")


def own_cores(quota: Path = QUOTA) -> int:
    """The cores that the process may use, at least 1; a container's limit counts, too."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(allowed, _limit(quota))))


def cores_of(settings: Settings) -> int:
    """The cores that decoders and the network share: all that the process may use, or, if there are fewer threads and
    fewer decoders, the larger of these numbers. Some systems say that there are more cores than a container has.
    """
    return min(own_cores(), max(threads_of(settings), decoders_of(settings)))


def threads_of(settings: Settings) -> int:
    """Threads of the network."""
    return settings.threads or own_cores()


def decoders_of(settings: Settings) -> int:
    """Processes that decode images and find faces in them."""
    return settings.decoders or own_cores() + FURTHER_DECODERS


def large_images_of(decoders: int) -> int:
    """How many of that number of decoders may have a large image at a time: one, or as many as leave a core."""
    return max(1, decoders - FURTHER_DECODERS - 1)


def first_slots() -> int:
    """Queue slots that there are however slow the replica is."""
    return max(MIN_FIRST, FIRST_PER_CORE * own_cores())


def queue_of(settings: Settings) -> int:
    """The most slots for images in progress."""
    return settings.queue or max(MIN_QUEUE, QUEUE_PER_CORE * own_cores())


def large_pixels_of(settings: Settings) -> int:
    """The work of large images in progress, in pixels."""
    return settings.large_pixels or LARGE_PIXELS_PER_CORE * cores_of(settings)


def _limit(quota: Path) -> float:
    """Cores by the file's two numbers, microseconds of work in a period of microseconds; infinite without a limit."""
    try:
        limit, period = quota.read_text().split()
    except (OSError, ValueError):
        return float("inf")
    return float("inf") if limit == "max" else int(limit) / int(period)
