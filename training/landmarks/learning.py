"""Trains the landmark network on frames that are tilted, moved, scaled, covered and spoilt at random.

N pictures, B batch, H W pixels, C corners of the face
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from math import cos, pi, radians

import torch
from torch import Tensor
from torch.nn import functional

from model.imaging.analysis import FACE_SHARE
from model.imaging.detection import MIRRORED
from model.imaging.preprocessing import Alignment
from training.landmarks.frames import FRAME_PX, FRAME_SHARE, Frames
from training.landmarks.network import SIDE_PX, LandmarkModel
from training.people.covers import COVERS, Eyes, cover
from training.people.people_recipe import update_average
from training.people.photo_changes import CHANGES, Draws

# The part of the data set's frame that the network sees, and the part of it whose corners must not move.
VIEW_SHARE = 0.7
CORNERS_SHARE = 0.6 * FACE_SHARE
# Errors below this, in distances between the eyes, count by their square, larger ones by their size (Huber 1964).
HUBER = 0.02


@dataclass(frozen=True, kw_only=True)
class LandmarkExperiment:
    """How the landmark network is trained. Deviations and limits are of what a detector gets wrong.

    A picture's tilt is normal with `tilt_deg`, or, in the share `tilted` of pictures, uniform up to `most_tilt_deg`.
    `scale` is the deviation of the scale's logarithm, `shift` of each coordinate in distances between the eyes.
    Groups of 8 pictures are covered with the probability `covered`; groups of 16 are spoilt with the probability
    `spoilt`, each kind of change with the probability `each`.
    """

    epochs: int = 60
    batch: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    average: float = 0.998
    tilt_deg: float = 6.0
    tilted: float = 0.4
    most_tilt_deg: float = 30.0
    scale: float = 0.09
    shift: float = 0.09
    covered: float = 0.3
    spoilt: float = 0.6
    each: float = 0.15
    rising_steps: int = 200
    seed: int = 0

    def learning_rate_at(self, step: int, steps: int) -> float:
        """It rises over the first steps, and falls over all of them as half a cosine wave."""
        return self.learning_rate * min(1, (step + 1) / self.rising_steps) * (1 + cos(pi * step / steps)) / 2


class Views:
    """What the network sees of frames, and where the landmarks are in it.

    Lengths are shares of the data set's frame, from its centre.
    """

    def __init__(self, alignment: Alignment) -> None:
        self.template = torch.from_numpy(alignment.points(1) - 0.5).float()
        self.seen = alignment.points(1, VIEW_SHARE)
        self.middle = self.template.mean(0)
        self.inter_eye = float(self.template[1, 0] - self.template[0, 0])
        self.eyes = Eyes.at(alignment.points(1, FRAME_SHARE))
        self._corners = _corners_of(self.template)

    def look(
        self, frames: Tensor, landmarks: Tensor, tilt: Tensor, scale: Tensor, shift: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Frames float32 (B, 1, H, W) and landmarks (B, 5, 2) -> views (B, 1, H, W), landmarks in their shares.

        The view shows the face tilted by `tilt` radians (B,), reduced by `scale` (B,), moved by `shift` (B, 2).
        """
        cosine, sine = torch.cos(tilt) * scale, torch.sin(tilt) * scale
        matrix = torch.stack([torch.stack([cosine, -sine], 1), torch.stack([sine, cosine], 1)], 1)
        places = (torch.arange(SIDE_PX) + 0.5) / SIDE_PX - 0.5
        grid = torch.stack(torch.meshgrid(places, places, indexing="xy"), -1).reshape(1, -1, 2) * VIEW_SHARE
        sources = (grid - self.middle) @ matrix.transpose(1, 2) + self.middle + shift[:, None]
        seen = functional.grid_sample(
            frames,
            (sources / FRAME_SHARE * 2).view(-1, SIDE_PX, SIDE_PX, 2),
            padding_mode="border",
            align_corners=False,
        )
        shares = (landmarks / FRAME_PX - 0.5) * FRAME_SHARE
        moved = (shares - self.middle - shift[:, None]) @ torch.linalg.inv(matrix).transpose(1, 2) + self.middle
        return seen, moved / VIEW_SHARE + 0.5

    def errors(self, found: Tensor, landmarks: Tensor) -> Tensor:
        """Landmarks (B, 5, 2) in shares of the view -> errors (B, 5 + C, 2) of them and of the face's corners.

        They are in distances between the eyes. The corners are those of the similarity transform that fits the
        landmarks, since it makes the crop.
        """
        off = (found - landmarks) * VIEW_SHARE / self.inter_eye
        return torch.cat([off, (off.flatten(1) @ self._corners.T).view(-1, 4, 2)], 1)


def train(
    frames: Frames, alignment: Alignment, experiment: LandmarkExperiment, say: Callable[[str], None]
) -> LandmarkModel:
    """The moving average of the network's weights. `say` gets a line after each epoch."""
    views, generator = Views(alignment), torch.Generator().manual_seed(experiment.seed)
    torch.manual_seed(experiment.seed)
    network = LandmarkModel(views.seen)
    network.to(memory_format=torch.channels_last)
    average = deepcopy(network).requires_grad_(False)
    optimizer = torch.optim.AdamW(network.parameters(), experiment.learning_rate, weight_decay=experiment.weight_decay)
    steps, step = experiment.epochs * max(1, len(frames.pixels) // experiment.batch), 0
    for epoch in range(experiment.epochs):
        order, total = torch.randperm(len(frames.pixels), generator=generator), 0.0
        for chosen in order.split(experiment.batch):
            if len(chosen) < min(experiment.batch, len(order)):
                continue
            for group in optimizer.param_groups:
                group["lr"] = experiment.learning_rate_at(step, steps)
            seen, landmarks = draw_views(frames, chosen, views, experiment, generator)
            errors = views.errors(network(seen.contiguous(memory_format=torch.channels_last)), landmarks)
            loss = functional.smooth_l1_loss(errors, torch.zeros_like(errors), beta=HUBER)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            update_average(average, network, experiment.average, step)
            total, step = total + float(loss.detach()), step + 1
        say(f"epoch {epoch + 1} of {experiment.epochs}: loss {total * experiment.epochs / steps:.4f}")
    return average.eval()


def draw_views(
    frames: Frames, chosen: Tensor, views: Views, experiment: LandmarkExperiment, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Views float32 (B, 1, H, W), values 0 to 255, and landmarks (B, 5, 2) in shares of the view."""
    draws, count = Draws(generator), len(chosen)
    images, landmarks = frames.pixels[chosen][:, None].float() / 255, frames.landmarks[chosen]
    for group in torch.arange(count).split(8):
        if draws.happens(experiment.covered):
            images[group] = cover(images[group], draws.one_of(COVERS), views.eyes, draws.between)
    mirrored = torch.rand(count, generator=generator) < 0.5
    images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
    turned = landmarks[:, MIRRORED] * torch.tensor([-1, 1]) + torch.tensor([FRAME_PX, 0])
    landmarks = torch.where(mirrored[:, None, None], turned, landmarks)
    tilt = torch.randn(count, generator=generator) * radians(experiment.tilt_deg)
    wide = (2 * torch.rand(count, generator=generator) - 1) * radians(experiment.most_tilt_deg)
    tilt = torch.where(torch.rand(count, generator=generator) < experiment.tilted, wide, tilt)
    scale = torch.exp(torch.randn(count, generator=generator) * experiment.scale)
    shift = torch.randn(count, 2, generator=generator) * experiment.shift * views.inter_eye
    seen, places = views.look(images, landmarks, tilt, scale, shift)
    for group in torch.arange(count).split(16):
        if draws.happens(experiment.spoilt):
            spoilt = seen[group]
            for change in CHANGES:
                if draws.happens(experiment.each):
                    spoilt = change(spoilt, draws)
            seen[group] = spoilt
    return seen * 255, places


def _corners_of(template: Tensor) -> Tensor:
    """(8, 10): from landmarks (5, 2), flat, to the corners (4, 2), flat, that the similarity fitted to them gives."""
    half = CORNERS_SHARE / 2
    square = torch.tensor([[x, y] for x in (-half, half) for y in (-half, half)])
    fit: Tensor = torch.linalg.pinv(_similarities(template))
    return _similarities(square) @ fit


def _similarities(points: Tensor) -> Tensor:
    """(P, 2) -> (2 P, 4): where points go, by the four numbers of a similarity transform."""
    x, y = points.unbind(1)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    return torch.stack([torch.stack([x, -y, one, zero], 1), torch.stack([y, x, zero, one], 1)], 1).reshape(-1, 4)
