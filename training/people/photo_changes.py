"""Changes of the pictures of a batch: light, lens, sensor and file. Each is drawn for all pictures that it gets.

C channels, G pictures that share a draw, H W pixels
"""

from collections.abc import Callable
from math import cos, exp, log, pi, sin

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.people.covers import Eyes

Change = Callable[[Tensor, "Draws"], Tensor]


class Draws:
    """Random numbers from one generator.

    With `kept`, int64, those for each picture are drawn for `count` pictures, and returned for the pictures at these
    places. So they are the same however the pictures are shared between processes.
    """

    def __init__(self, generator: torch.Generator, count: int = 0, kept: Tensor | None = None) -> None:
        self.generator, self._count, self._kept = generator, count, kept

    def between(self, low: float, high: float) -> float:
        """Uniform from low to high."""
        return low + (high - low) * float(torch.rand(1, generator=self.generator))

    def ratio(self, low: float, high: float) -> float:
        """From low to high, both above 0, uniform in the logarithm."""
        return exp(self.between(log(low), log(high)))

    def happens(self, probability: float) -> bool:
        """True with that probability."""
        return self.between(0, 1) < probability

    def one_of(self, count: int) -> int:
        """Uniform from 0 to count - 1."""
        return int(torch.randint(count, (1,), generator=self.generator))

    def normal(self, shape: list[int]) -> Tensor:
        """Standard normal values, float32; the first size is the number of pictures."""
        if self._kept is None:
            return torch.randn(shape, generator=self.generator)
        return torch.randn([self._count, *shape[1:]], generator=self.generator)[self._kept]


def side_light(images: Tensor, draws: Draws) -> Tensor:
    """Light from one side, or from behind: a factor that changes along a direction or from the centre."""
    height, width = images.shape[2:]
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    if draws.happens(0.25):
        exponent = draws.between(0.4, 1.4) * (x**2 + y**2 - 0.8)
    else:
        angle, strength, edge = draws.between(0, 2 * pi), draws.between(0.3, 1.6), draws.ratio(0.7, 4)
        exponent = strength * torch.tanh(edge * (x * cos(angle) + y * sin(angle)))
    return (images * torch.exp(exponent)).clamp(0, 1)


def backlight(images: Tensor, draws: Draws, *, eyes: Eyes) -> Tensor:
    """A dark and hazy face before a bright ground that may drown its edges."""
    height, width = images.shape[2:]
    y = ((torch.arange(height) + 0.5) / height - eyes.y)[:, None] / eyes.distance - draws.between(0, 0.6)
    x = ((torch.arange(width) + 0.5) / width - eyes.x)[None, :] / eyes.distance - draws.between(-0.15, 0.15)
    away = torch.hypot(x / draws.between(0.95, 1.6), y / draws.between(1.3, 2.1))
    ground = torch.sigmoid((away - 1) / draws.ratio(0.05, 0.3))
    face = draws.ratio(0.15, 0.55) * images + draws.between(0, 0.2)
    behind = draws.between(0.1, 0.6) * images + draws.between(0.4, 1)
    return torch.lerp(face, behind, ground).clamp(0, 1)


def exposure(images: Tensor, draws: Draws) -> Tensor:
    """Too bright, with the highlights lost, or too dark."""
    return (images * draws.ratio(0.25, 3.5)).clamp(0, 1)


def flatten(images: Tensor, draws: Draws) -> Tensor:
    """Less contrast, as in haze."""
    kept = draws.between(0.25, 0.8)
    return images * kept + draws.between(0, 1 - kept)


def cast(images: Tensor, draws: Draws) -> Tensor:
    """A colour cast, or no colour; grey pictures stay."""
    if images.shape[1] == 1:
        return images
    if draws.happens(0.4):
        return images.mean(1, keepdim=True).expand_as(images)
    factors = images.new_tensor([draws.ratio(0.65, 1.5) for _ in range(3)])
    return (images * factors[:, None, None]).clamp(0, 1)


def tight(images: Tensor, draws: Draws) -> Tensor:
    """A tight crop: beyond some of its edges the border is repeated, or black."""
    height, width = images.shape[2:]
    top, bottom = draws.between(-0.1, 0.24), draws.between(-0.1, 0.24)
    left, right = draws.between(-0.1, 0.22), draws.between(-0.1, 0.22)
    rows = torch.arange(height).clamp(round(max(top, 0) * height), height - 1 - round(max(bottom, 0) * height))
    columns = torch.arange(width).clamp(round(max(left, 0) * width), width - 1 - round(max(right, 0) * width))
    repeated = images[:, :, rows][:, :, :, columns]
    if draws.happens(0.75):
        return repeated
    inside = (rows == torch.arange(height))[:, None] & (columns == torch.arange(width))
    return repeated * inside


def defocus(images: Tensor, draws: Draws) -> Tensor:
    """A disc of the blur circle, or a Gaussian."""
    if draws.happens(0.4):
        offsets = torch.arange(-9, 10, dtype=images.dtype)
        row = torch.exp(-0.5 * (offsets / draws.ratio(0.5, 3.2)) ** 2)
        return _filtered(_filtered(images, row[None, :]), row[:, None])
    radius = draws.ratio(0.7, 5)
    reach = int(radius) + 1
    y, x = torch.meshgrid(*[torch.arange(-reach, reach + 1, dtype=images.dtype)] * 2, indexing="ij")
    return _filtered(images, (radius + 0.5 - (x**2 + y**2).sqrt()).clamp(0, 1))


def motion(images: Tensor, draws: Draws) -> Tensor:
    """Blur along a line."""
    length, angle = draws.ratio(2, 11), draws.between(0, pi)
    reach = int(length / 2) + 1
    y, x = torch.meshgrid(*[torch.arange(-reach, reach + 1, dtype=images.dtype)] * 2, indexing="ij")
    along, across = x * cos(angle) + y * sin(angle), y * cos(angle) - x * sin(angle)
    return _filtered(images, (length / 2 + 0.5 - along.abs()).clamp(0, 1) * (1 - across.abs()).clamp(0, 1))


def few_pixels(images: Tensor, draws: Draws) -> Tensor:
    """Fewer pixels, enlarged again."""
    side = images.shape[2]
    reduced = functional.interpolate(images, max(8, round(side * draws.ratio(0.16, 0.7))), mode="area")
    return functional.interpolate(reduced, side, mode="bilinear" if draws.happens(0.5) else "bicubic").clamp(0, 1)


def noise(images: Tensor, draws: Draws) -> Tensor:
    """Noise of a sensor in every channel, or of its brightness only; finer or coarser than a pixel."""
    channels = images.shape[1] if draws.happens(0.6) else 1
    side = images.shape[2]
    coarse = round(side * draws.between(0.5, 1)) if draws.happens(0.4) else side
    grain = draws.normal([len(images), channels, coarse, coarse])
    if coarse != side:
        grain = functional.interpolate(grain, side, mode="bilinear")
    return (images + draws.ratio(0.02, 0.2) * grain).clamp(0, 1)


def compress(images: Tensor, draws: Draws) -> Tensor:
    """JPEG of a low quality."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, round(draws.ratio(5, 50))]
    pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).flip(3).numpy()  # OpenCV's order: blue first
    files = [cv2.imencode(".jpg", each, quality)[1] for each in pixels]
    decoded = [np.asarray(cv2.imdecode(file, cv2.IMREAD_UNCHANGED), np.uint8) for file in files]
    return torch.from_numpy(np.stack(decoded).reshape(pixels.shape)).flip(3).permute(0, 3, 1, 2).to(images.dtype) / 255


# In the order in which they happen: light, lens, sensor, file.
CHANGES: tuple[Change, ...] = (
    side_light, tight, exposure, cast, motion, defocus, few_pixels, noise, flatten, compress,
)  # fmt: skip


def _filtered(images: Tensor, kernel: Tensor) -> Tensor:
    """(G, C, H, W) filtered by a kernel of odd sides, whose sum becomes 1; the border is repeated."""
    rows, columns = kernel.shape
    planes = images.flatten(0, 1)[:, None]
    padded = functional.pad(planes, (columns // 2, columns // 2, rows // 2, rows // 2), mode="replicate")
    return functional.conv2d(padded, (kernel / kernel.sum())[None, None]).view_as(images)
