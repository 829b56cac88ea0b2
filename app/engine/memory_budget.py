"""How much memory one image may take in a decoder."""

from pathlib import Path

from app.engine.cpu_budget import decoders_of, large_images_of
from app.engine.decoder import BYTES_PER_PIXEL
from app.settings import Settings

MIB = 2**20
# For the file, which is there up to four times while it arrives and is read, the faces' search, and libraries' threads.
COPIES = 4
FURTHER_BYTES = 256 * MIB
# Where Linux says how much memory a container may use.
LIMIT = Path("/sys/fs/cgroup/memory.max")


def decoder_memory_of(settings: Settings, limit: Path = LIMIT) -> int:
    """What is set, or what the largest image needs; less if a container's memory is small.

    All large images together then take at most half of the container's memory.
    """
    if settings.decoder_memory_bytes:
        return settings.decoder_memory_bytes
    needed = BYTES_PER_PIXEL * settings.max_pixels + COPIES * settings.max_image_bytes + FURTHER_BYTES
    share = _own_memory(limit) / 2 / large_images_of(decoders_of(settings))
    return int(min(needed, share))


def _own_memory(limit: Path) -> float:
    """The bytes that this process's container may use; infinite without a limit."""
    try:
        return float(limit.read_text())
    except (OSError, ValueError):  # no control group of version 2, or "max"
        return float("inf")
