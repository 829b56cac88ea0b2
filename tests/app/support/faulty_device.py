"""`python -m tests.app.support.faulty_device`: the service, on a device that fails at marked pictures.

The faults are those that a runtime would report, with messages of CUDA; only their cause is made up.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
from PIL import Image

from app.__main__ import main
from model.arrays import Embeddings, Pixels
from model.cpu.embedder import CpuEmbedder
from model.errors import MSG_DEVICE_EXHAUSTED, MSG_DEVICE_LOST, DeviceExhausted, DeviceLost
from tests.drawing import encode

SIZE = (64, 64)
# A picture that no memory is enough for.
TOO_MUCH = encode(Image.new("L", SIZE, 60))
# A picture that the device does not survive.
LETHAL = encode(Image.new("L", SIZE, 255))

OUT_OF_MEMORY = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 15.00 GiB"
ILLEGAL_ACCESS = (
    "CUDA error: an illegal memory access was encountered\n"
    "CUDA kernel errors might be asynchronously reported at some other API call."
)


def fail_at_marked_pictures(pixels: Pixels) -> None:
    """Raises if a marked picture is in the batch (B, H, W)."""
    shades = [int(crop.flat[0]) for crop in pixels if np.ptp(crop) == 0]
    if any(shade > 127 for shade in shades):
        raise lost()
    if any(0 < shade <= 127 for shade in shades):  # not the black picture that warms the network up
        raise exhausted()


def fail_at_batches(pixels: Pixels) -> None:
    """A device with memory for one image at a time."""
    if len(pixels) > 1:
        raise exhausted()


def exhausted() -> DeviceExhausted:
    fault = DeviceExhausted(MSG_DEVICE_EXHAUSTED)
    fault.add_note(OUT_OF_MEMORY)
    return fault


def lost() -> DeviceLost:
    fault = DeviceLost(MSG_DEVICE_LOST)
    fault.add_note(ILLEGAL_ACCESS)
    return fault


@contextmanager
def failing(check: Callable[[Pixels], None]) -> Iterator[None]:
    """Every network of this process checks the batches that it embeds."""
    embed = CpuEmbedder.embed

    def checked(embedder: CpuEmbedder, pixels: Pixels, threads: int | None = None) -> Embeddings:
        check(pixels)
        return embed(embedder, pixels, threads)

    with patch.object(CpuEmbedder, "embed", checked):
        yield


if __name__ == "__main__":
    with failing(fail_at_marked_pictures):
        sys.exit(main())
