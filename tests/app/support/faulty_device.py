"""`python -m tests.app.support.faulty_device`: the service, on a device that fails at marked pictures.

There is no GPU where the tests run, so the exceptions are PyTorch's and only their cause is made up.
"""

import sys
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from app.__main__ import main
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


def fail_at_marked_pictures(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
    """Before a layer: raises what PyTorch does, if a marked picture is in the batch (B, 1, H, W) of the first one."""
    if not isinstance(layer, nn.Conv2d) or inputs[0].shape[1] != 1:
        return
    images: Tensor = inputs[0].flatten(1)
    shades = images[images.amax(1) == images.amin(1), 0].tolist()
    if any(shade > 0 for shade in shades):
        raise torch.AcceleratorError(ILLEGAL_ACCESS)
    if any(-1 < shade < 0 for shade in shades):  # not the black picture that warms the network up
        raise torch.OutOfMemoryError(OUT_OF_MEMORY)


def fail_at_batches(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
    """Before a layer: a device with memory for one image at a time."""
    if isinstance(layer, nn.Conv2d) and len(inputs[0]) > 1:
        raise torch.OutOfMemoryError(OUT_OF_MEMORY)


if __name__ == "__main__":
    register_module_forward_pre_hook(fail_at_marked_pictures)
    sys.exit(main())
