"""How a process shares out the cores that it may use: between its decoders and its network, and with other workers.

Finding and straightening faces takes two to three times the network's time, so the decoders get every core and the
network half of them: on two cores that answers an eighth more requests a second than two threads of the network do.
Where no faces are looked for, decoding takes next to nothing and the network gets every core: half as many again.
"""

import os
from pathlib import Path

from app.settings import Settings

LEAST_DECODERS = 2
"""The two photographs of a request are looked at side by side."""
QUEUE_PER_CORE, LEAST_QUEUE = 3, 6
"""So many images keep the cores busy, and nobody waits much longer than three lone requests take."""
LEAST_UPLOADS = 16
QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Where Linux says how much of the processors a container may use."""


def own_cores(workers: int, quota: Path = QUOTA) -> int:
    """The cores that each of so many workers can count on, at least 1; a container's limit counts too."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(allowed, _limit(quota)) // workers))


def threads_of(settings: Settings, finds_faces: bool) -> int:
    """Threads of the network."""
    cores = own_cores(settings.workers)
    return settings.threads or (max(1, cores // 2) if finds_faces else cores)


def decoders_of(settings: Settings) -> int:
    """Images that are decoded and searched for faces at once."""
    return settings.decoders or max(LEAST_DECODERS, own_cores(settings.workers))


def queue_of(settings: Settings) -> int:
    """Images in progress."""
    return settings.queue or max(LEAST_QUEUE, QUEUE_PER_CORE * own_cores(settings.workers))


def uploads_of(settings: Settings) -> int:
    """Images whose uploads are under way."""
    return settings.uploads or max(LEAST_UPLOADS, queue_of(settings))


def _limit(quota: Path) -> float:
    """Cores by the file's two numbers, microseconds of work in a period of so many; infinity if there is no limit."""
    try:
        most, period = quota.read_text().split()
    except (OSError, ValueError):
        return float("inf")
    return float("inf") if most == "max" else int(most) / int(period)
