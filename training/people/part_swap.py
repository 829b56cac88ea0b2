"""Virtual people: the eyes, the nose or the mouth of one person blended into the pictures of another.

After Hu et al., "Frankenstein: Learning Deep Face Representations using Small Data" (arXiv 1603.06470).

M people, n pictures of each, C channels, H W pixels, V virtual people
"""

from dataclasses import dataclass

import torch
from torch import Tensor

MIN_DEVIATION = 1 / 255


@dataclass(frozen=True, kw_only=True)
class Part:
    """Where a part of the face lies, in shares of the picture's side: the centre and half the width and height."""

    x: float
    y: float
    half_width: float
    half_height: float


@dataclass(frozen=True, kw_only=True)
class FaceParts:
    """The parts that are swapped, and over which share of the side their masks fall off."""

    parts: tuple[Part, ...]
    feather: float = 0.04

    def seen_through(self, share: float) -> "FaceParts":
        """The same face where a picture shows a square with `1 / share` of the side, around the same centre."""
        parts = tuple(
            Part(
                x=0.5 + (part.x - 0.5) * share,
                y=0.5 + (part.y - 0.5) * share,
                half_width=part.half_width * share,
                half_height=part.half_height * share,
            )
            for part in self.parts
        )
        return FaceParts(parts=parts, feather=self.feather * share)


def masks_of(face: FaceParts, side_px: int) -> Tensor:
    """float32 (parts, H, W), 0..1: 1 in the part's box, falling off like a Gaussian around it."""
    centres = (torch.arange(side_px) + 0.5) / side_px
    x = torch.tensor([part.x for part in face.parts])[:, None]
    y = torch.tensor([part.y for part in face.parts])[:, None]
    beyond_x = ((centres - x).abs() - torch.tensor([part.half_width for part in face.parts])[:, None]).clamp_min(0)
    beyond_y = ((centres - y).abs() - torch.tensor([part.half_height for part in face.parts])[:, None]).clamp_min(0)
    squares = beyond_y[:, :, None] ** 2 + beyond_x[:, None, :] ** 2
    return torch.exp(-0.5 * squares / face.feather**2)


def swap_parts(faces: Tensor, masks: Tensor, virtual: int, draws: torch.Generator) -> Tensor:
    """(M, n, C, H, W) float32, 0..1 -> (V, n, C, H, W): `virtual` people, or half as many as there are people.

    Each has the pictures of one person with at least one part of another; a person is in at most one virtual person,
    and all pictures of a virtual person have the same parts of the same two.
    """
    count = min(virtual, len(faces) // 2)
    if count == 0:
        return faces[:0]
    order = torch.randperm(len(faces), generator=draws)
    hosts, donors = faces[order[:count]], faces[order[count : 2 * count]]
    taken = torch.randint(1, 2 ** len(masks), (count,), generator=draws)
    has_part = (taken[:, None] >> torch.arange(len(masks))) & 1
    weights = (has_part[:, :, None, None] * masks).amax(1)[:, None, None]
    return torch.lerp(hosts, match_tone(donors, hosts), weights)


def match_tone(images: Tensor, models: Tensor) -> Tensor:
    """(..., H, W) twice -> the images with the mean and the deviation of their models, within 0..1."""
    deviation, mean = torch.std_mean(images, dim=(-2, -1), keepdim=True)
    wanted_deviation, wanted_mean = torch.std_mean(models, dim=(-2, -1), keepdim=True)
    ratio = wanted_deviation / deviation.clamp_min(MIN_DEVIATION)
    return ((images - mean) * ratio + wanted_mean).clamp(0, 1)
