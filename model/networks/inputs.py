"""From crops, in 8 bits, to a network's input.

B batch, C channels (1 of a grey picture, 3 of a coloured one), H W pixels, D embedding
"""

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from model.arrays import Pixels
from model.imaging.preprocessing import PreprocessingConfig

# The shares of red, green and blue in grey (ITU-R BT.601), as Pillow has it.
LUMA = (0.299, 0.587, 0.114)
# A picture of one shade is not blown up into noise.
MIN_DEVIATION = 1 / 255


class _Embeds(Protocol):
    def embed(self, images: Tensor) -> Tensor: ...

    def parameters(self) -> Iterator[nn.Parameter]: ...


def embed_pixels(network: _Embeds, pixels: Pixels | Tensor, config: PreprocessingConfig) -> Tensor:
    """Crops uint8 (B, H, W) or (B, H, W, 3) -> float32 (B, D) on the network's device."""
    device = next(network.parameters()).device
    images = normalise(to_unit(torch.as_tensor(pixels).to(device)), config)
    with torch.no_grad():
        return network.embed(images.contiguous(memory_format=torch.channels_last))


def to_unit(pixels: Tensor) -> Tensor:
    """uint8 (B, H, W) or (B, H, W, 3), 0..255 -> float32 (B, 1, H, W) or (B, 3, H, W), 0..1."""
    channels = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
    return channels.to(torch.float32) / 255


def normalise(images: Tensor, config: PreprocessingConfig) -> Tensor:
    """float32 (B, C, H, W), 0..1 -> float32 (B, C, H, W), -1..1 with the default mean and deviation."""
    return standardise(images) if config.standardised else (images - config.mean) / config.std


def standardise(images: Tensor) -> Tensor:
    """float32 (B, C, H, W) -> the same shape, each picture with mean 0 and deviation 1 over all its channels."""
    deviation, mean = torch.std_mean(images, dim=(1, 2, 3), correction=0, keepdim=True)
    return (images - mean) / deviation.clamp_min(MIN_DEVIATION)


def luma(images: Tensor) -> Tensor:
    """float (B, 3, H, W), red, green and blue -> float (B, 1, H, W), grey."""
    return (images * images.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
