"""Random flips, rotations, brightness and contrast, drawn separately for every picture from a given generator.

torchvision's v2 transforms draw one set of parameters for a whole batch, from the global generator. So the parameters
are drawn here, and torchvision only applies them.

B batch, H W pixels
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far a picture may be changed. The defaults are those of Experiments 2 to 4."""

    flip_probability: float = 0.5
    rotation_deg: float = 15.0
    brightness: float = 0.2
    contrast: float = 0.2


@dataclass(frozen=True, kw_only=True)
class Draw:
    """The parameters of B pictures, each a tensor (B,): whether to flip, angle, factors of brightness and contrast."""

    flip: Tensor
    angle_deg: Tensor
    brightness: Tensor
    contrast: Tensor

    def __getitem__(self, chosen: Tensor) -> "Draw":
        """The parameters of the pictures with the indices `chosen`, int64."""
        return Draw(
            flip=self.flip[chosen],
            angle_deg=self.angle_deg[chosen],
            brightness=self.brightness[chosen],
            contrast=self.contrast[chosen],
        )


def draw(size: int, augmentation: Augmentation, generator: torch.Generator) -> Draw:
    """Parameters for `size` pictures."""
    flip, angle, brightness, contrast = torch.rand(4, size, generator=generator)
    return Draw(
        flip=flip < augmentation.flip_probability,
        angle_deg=(2 * angle - 1) * augmentation.rotation_deg,
        brightness=1 + (2 * brightness - 1) * augmentation.brightness,
        contrast=1 + (2 * contrast - 1) * augmentation.contrast,
    )


def augment(images: Tensor, parameters: Draw) -> Tensor:
    """float32 (B, 1, H, W), 0..1 -> the same shape and range; rotations leave black corners."""
    rows = zip(
        images,
        parameters.flip.tolist(),
        parameters.angle_deg.tolist(),
        parameters.brightness.tolist(),
        parameters.contrast.tolist(),
        strict=True,
    )
    return torch.stack([_one(*row) for row in rows])


def _one(image: Tensor, flip: bool, angle_deg: float, brightness: float, contrast: float) -> Tensor:
    if flip:
        image = functional.horizontal_flip_image(image)
    image = functional.rotate_image(image, angle_deg, interpolation=InterpolationMode.BILINEAR)
    image = functional.adjust_brightness_image(image, brightness)
    changed: Tensor = functional.adjust_contrast_image(image, contrast)
    return changed
