"""Random changes of a whole batch at once, with separate parameters for each picture from a given generator."""

from dataclasses import dataclass, replace
from math import pi
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from model.errors import TrainingError
from model.networks.residual import luma

BLUR_RADIUS = 3


@dataclass(frozen=True, kw_only=True)
class ColourChange:
    """How far colours may be changed: the logarithm of each channel's factor, and how often a picture becomes grey."""

    tint: float = 0.12
    grey_probability: float = 0.15


@dataclass(frozen=True, kw_only=True)
class BatchAugmentation:
    """How far a picture may be changed. Shifts and the erased box's sides are shares of the picture's side."""

    flip_probability: float = 0.5
    rotation_deg: float = 10.0
    scale: float = 0.1
    shift: float = 0.06
    shear: float = 0.05
    gamma: float = 0.4
    contrast: float = 0.3
    erase_probability: float = 0.3
    erase: tuple[float, float] = (0.1, 0.35)
    blur_probability: float = 0.3
    blur_px: float = 1.2
    colour: ColourChange | None = None

    def __post_init__(self) -> None:
        shares = (self.flip_probability, self.erase_probability, self.blur_probability, *self.erase)
        if not all(0 <= share <= 1 for share in shares) or self.erase[0] > self.erase[1]:
            raise TrainingError(
                "augmentation: probabilities and erase must lie between 0 and 1, and erase has the lower share first"
            )


@dataclass(frozen=True, kw_only=True)
class ColourDraw:
    """The colour parameters of B pictures: each channel's factor (B, 3), and whether it becomes grey (B,)."""

    tint: Tensor
    greyed: Tensor

    def of(self, pictures: Tensor) -> Self:
        """Those of the pictures at these places, int64 (b,)."""
        return replace(self, tint=self.tint[pictures], greyed=self.greyed[pictures])


@dataclass(frozen=True, kw_only=True)
class BatchDraw:
    """The parameters of B pictures.

    affine (B, 2, 3) as for `affine_grid`; gamma, contrast and blur_px (B,); the erased box (B, 4) as left, top, right,
    bottom in shares of the side (empty if nothing is erased), and the shade (B,) that fills it.
    """

    affine: Tensor
    gamma: Tensor
    contrast: Tensor
    blur_px: Tensor
    box: Tensor
    shade: Tensor
    colour: ColourDraw | None = None

    def of(self, pictures: Tensor) -> Self:
        """Those of the pictures at these places, int64 (b,)."""
        return replace(
            self,
            affine=self.affine[pictures],
            gamma=self.gamma[pictures],
            contrast=self.contrast[pictures],
            blur_px=self.blur_px[pictures],
            box=self.box[pictures],
            shade=self.shade[pictures],
            colour=self.colour.of(pictures) if self.colour else None,
        )


def draw_batch(size: int, changes: BatchAugmentation, generator: torch.Generator) -> BatchDraw:
    unit = torch.rand(17, size, generator=generator)
    either = 2 * unit - 1
    blurred = unit[0] < changes.blur_probability
    return BatchDraw(
        affine=_affine(changes, unit[1] < changes.flip_probability, either[2:8]),
        gamma=torch.exp(either[8] * changes.gamma),
        contrast=torch.exp(either[9] * changes.contrast),
        blur_px=unit[10] * changes.blur_px * blurred,
        box=_box(changes, unit[11:16]),
        shade=unit[16],
        colour=_draw_colours(size, changes.colour, generator) if changes.colour else None,
    )


def augment_batch(images: Tensor, parameters: BatchDraw) -> Tensor:
    """float32 (B, C, H, W), 0..1 -> the same shape and range; uncovered areas repeat the border."""
    grid = functional.affine_grid(parameters.affine, list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    lit = moved.clamp(0, 1) ** parameters.gamma[:, None, None, None]
    middle = lit.mean((1, 2, 3), keepdim=True)
    contrasted = (middle + (lit - middle) * parameters.contrast[:, None, None, None]).clamp(0, 1)
    if parameters.colour:
        contrasted = change_colours(contrasted, parameters.colour)
    return erase(blur(contrasted, parameters.blur_px), parameters.box, parameters.shade)


def change_colours(images: Tensor, colour: ColourDraw) -> Tensor:
    """(B, 3, H, W), 0..1 -> the same shape, tinted, then grey for the pictures drawn."""
    tinted = (images * colour.tint[:, :, None, None]).clamp_(0, 1)
    tinted[colour.greyed] = luma(tinted[colour.greyed]).expand(-1, 3, -1, -1)
    return tinted


def blur(images: Tensor, deviation_px: Tensor) -> Tensor:
    """(B, C, H, W) -> the same shape, blurred by a Gaussian of each picture's deviation (B,); 0 leaves it unchanged."""
    blurred = deviation_px > 0
    if not blurred.any():
        return images
    offsets = torch.arange(-BLUR_RADIUS, BLUR_RADIUS + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-0.5 * (offsets / deviation_px[blurred].clamp_min(1e-3)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(images.shape[1], dim=0)
    chosen = images[blurred]
    planes = functional.pad(chosen.flatten(0, 1)[None], (BLUR_RADIUS,) * 4, mode="replicate")[0]
    across = _filter(planes, kernel, dim=2)
    down = _filter(across, kernel, dim=1)
    result = images.clone()
    result[blurred] = down.view_as(chosen)
    return result


def _filter(planes: Tensor, kernel: Tensor, dim: int) -> Tensor:
    """(N, H, W) and a kernel each (N, K) -> the planes filtered along `dim`, which becomes K - 1 shorter."""
    length = planes.shape[dim] - kernel.shape[1] + 1
    result = torch.zeros_like(planes.narrow(dim, 0, length))
    for place, weight in enumerate(kernel.T[:, :, None, None]):  # on a CPU much faster than a convolution in N groups
        result.addcmul_(planes.narrow(dim, place, length), weight)
    return result


def erase(images: Tensor, box: Tensor, shade: Tensor) -> Tensor:
    """(B, C, H, W) -> the same shape, with the pixels whose centres lie in the box (B, 4) set to the shade (B,)."""
    height, width = images.shape[2:]
    x = (torch.arange(width, device=images.device) + 0.5) / width
    y = (torch.arange(height, device=images.device) + 0.5) / height
    left, top, right, bottom = box.T[:, :, None]
    columns, rows = (x >= left) & (x < right), (y >= top) & (y < bottom)
    inside = (rows[:, :, None] & columns[:, None, :])[:, None]
    return torch.where(inside, shade[:, None, None, None], images)


def _draw_colours(size: int, changes: ColourChange, generator: torch.Generator) -> ColourDraw:
    unit = torch.rand(4, size, generator=generator)
    tint = torch.exp((2 * unit[:3] - 1) * changes.tint).T
    return ColourDraw(tint=tint, greyed=unit[3] < changes.grey_probability)


def _affine(changes: BatchAugmentation, flip: Tensor, either: Tensor) -> Tensor:
    """(B,) and (6, B) in -1..1 -> (B, 2, 3), which maps positions in the result to positions in the picture."""
    angle = either[0] * changes.rotation_deg * pi / 180
    zoom_x = torch.exp(either[1] * changes.scale) * torch.where(flip, -1.0, 1.0)
    zoom_y = torch.exp(either[2] * changes.scale)
    shear = either[3] * changes.shear
    cosine, sine = torch.cos(angle), torch.sin(angle)
    first = torch.stack([zoom_x * cosine, zoom_y * (shear * cosine - sine), 2 * changes.shift * either[4]], dim=1)
    second = torch.stack([zoom_x * sine, zoom_y * (shear * sine + cosine), 2 * changes.shift * either[5]], dim=1)
    return torch.stack([first, second], dim=1)


def _box(changes: BatchAugmentation, unit: Tensor) -> Tensor:
    """(5, B) in 0..1 -> (B, 4): a box inside the picture, empty if nothing is erased."""
    low, high = changes.erase
    sides = (low + unit[:2] * (high - low)) * (unit[4] < changes.erase_probability)
    corner = unit[2:4] * (1 - sides)
    return torch.cat([corner, corner + sides]).T
