"""Experiments 1 to 4 and their recipe: they learn from pairs whether two pictures show the same person."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from model.checkpoint import Changes
from model.errors import TrainingError
from model.imaging.preprocessing import PreprocessingConfig
from model.networks import configurations, embedder, siamese
from training.data.album import Album
from training.data.datasets import PairData
from training.data.source import DataSource
from training.learning import parallel, starting
from training.learning.experiment import (
    LATER,
    Batch,
    Experiment,
    Precision,
    Recipe,
    Start,
    Validation,
)
from training.scoring import score_pairs

# With fewer validation pairs a rate of 50% has a 95% interval of more than 10 points to either side.
MIN_VALIDATION = 100


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far a picture may be changed. The defaults are those of Experiments 2 to 4."""

    flip_probability: float = 0.5
    rotation_deg: float = 15.0
    brightness: float = 0.2
    contrast: float = 0.2


class Draw(NamedTuple):
    """The parameters of N pictures, each a tensor (N,): whether to flip, angle, factors of brightness and contrast."""

    flip: Tensor
    angle_deg: Tensor
    brightness: Tensor
    contrast: Tensor


def draw(size: int, augmentation: Augmentation, generator: torch.Generator) -> Draw:
    # torchvision's transforms would draw one set for a whole batch, from the global generator.
    flip, angle, brightness, contrast = torch.rand(4, size, generator=generator)
    return Draw(
        flip=flip < augmentation.flip_probability,
        angle_deg=(2 * angle - 1) * augmentation.rotation_deg,
        brightness=1 + (2 * brightness - 1) * augmentation.brightness,
        contrast=1 + (2 * contrast - 1) * augmentation.contrast,
    )


def augment(images: Tensor, parameters: Draw) -> Tensor:
    """float32 (N, 1, H, W), 0..1 -> the same shape and range; rotations leave black corners."""
    rows = zip(images, *(values.tolist() for values in parameters), strict=True)
    return torch.stack([_augment_one(*row) for row in rows])


def _augment_one(image: Tensor, flip: bool, angle_deg: float, brightness: float, contrast: float) -> Tensor:
    # Imported here, since it takes seconds and few commands augment.
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional as transforms

    if flip:
        image = transforms.horizontal_flip_image(image)
    image = transforms.rotate_image(image, angle_deg, interpolation=InterpolationMode.BILINEAR)
    image = transforms.adjust_brightness_image(image, brightness)
    changed: Tensor = transforms.adjust_contrast_image(image, contrast)
    return changed


@dataclass(frozen=True, kw_only=True)
class PairExperiment(Experiment[PairData]):
    name: str
    network: configurations.NetworkConfig
    preprocessing: PreprocessingConfig = field(default_factory=PreprocessingConfig)
    augmentation: Augmentation | None = None
    loss: Literal["bce", "mse"] = "bce"
    epochs: int = 20
    batch_pairs: int = 128
    learning_rate: float = 1e-4
    weight_decay: float = 0.0
    decay_every_epochs: int | None = None
    decay_factor: float = 0.1
    patience_epochs: int | None = None
    keep: Literal["last", "best"] = "last"
    validation_fraction: float = 0.2
    split_seed: int = 0
    precision: Precision = "float32"
    seed: int = 0
    start: Start | None = field(default=None, metadata={LATER: True})
    freeze: tuple[str, ...] = field(default=(), metadata={LATER: True})
    changes: Changes | None = field(default=None, metadata={LATER: True})

    def __post_init__(self) -> None:
        positive = (self.epochs, self.batch_pairs, self.learning_rate, self.decay_every_epochs, self.patience_epochs)
        if not all(value is None or value > 0 for value in positive):
            raise TrainingError(
                f"{self.name}: epochs, batch_pairs, learning_rate, decay_every_epochs and patience_epochs "
                "must be positive"
            )
        if not 0 < self.validation_fraction < 1:
            raise TrainingError(f"{self.name}: validation_fraction must lie between 0 and 1")
        if not self.decay_factor > 0:
            raise TrainingError(f"{self.name}: decay_factor must be positive")
        super().__post_init__()

    def learning_rate_at(self, step: int, steps_per_epoch: int) -> float:
        """Constant, or multiplied by `decay_factor` every `decay_every_epochs`."""
        decays = step // steps_per_epoch // self.decay_every_epochs if self.decay_every_epochs else 0
        return self.learning_rate * self.decay_factor**decays

    def read_data(self, source: DataSource, album: Album) -> PairData:
        path = source.find_list("train_pairs") or source.pictures
        pairs = source.pairs_of("train_pairs", album)
        return PairData.of(album, path, pairs, self.validation_fraction, self.split_seed)

    def warnings(self, data: PairData) -> list[str]:
        if (pairs := len(data.validation)) >= MIN_VALIDATION:
            return []
        return [
            f"only {pairs} validation pairs choose the threshold, so that its rates are uncertain by about "
            f"{1 / pairs**0.5:.0%}; add pairs"
        ]

    def recipe(self, data: PairData, device: torch.device) -> "PairRecipe":
        return PairRecipe(self, data, device)


class PairRecipe(Recipe):
    """Trains a Siamese network on augmented pairs; each batch is split between the processes."""

    network: siamese.SiameseNetwork

    def __init__(self, experiment: PairExperiment, data: PairData, device: torch.device) -> None:
        parallel.require_share_of(len(data.training), experiment.batch_pairs)
        network = siamese.SiameseNetwork(experiment.network)
        siamese.initialise(network, experiment.generator("initialise"))
        self.experiment, self.data = experiment, data
        self.frozen = starting.freeze(network, experiment.freeze)
        self.state = self.network = network.to(device).to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(
            network.parameters(), experiment.learning_rate, weight_decay=experiment.weight_decay
        )
        self.batches_in_epoch = -(-len(data.training) // experiment.batch_pairs)
        channels, side = experiment.network.input_shape
        example = torch.zeros(2, channels, side, side, device=device)
        self._module = parallel.wrap(self.network, example, example)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Every pair once, in a new order: images float32 (2B, 1, H, W), all left ones first, labels float32 (B,)."""
        experiment, pixels = self.experiment, self.data.album.pixels
        order = torch.randperm(len(self.data.training), generator=experiment.generator("order", epoch))
        changes = experiment.generator("augment", epoch)
        for chosen in order.split(experiment.batch_pairs):
            mine = parallel.share(torch.arange(len(chosen)))
            pairs = self.data.training[chosen[mine]]
            images = embedder.to_unit(pixels[torch.cat([pairs.left, pairs.right])])
            if experiment.augmentation:
                # All processes draw for the whole batch, so that what is drawn does not depend on their number.
                drawn = draw(2 * len(chosen), experiment.augmentation, changes)
                both = torch.cat([mine, mine + len(chosen)])
                images = augment(images, Draw(*(values[both] for values in drawn)))
            weight = len(mine) * parallel.world_size() / len(chosen)
            yield Batch(images=images, labels=pairs.same, judged=len(mine), weight=weight)

    def forward(self, images: Tensor) -> Tensor:
        """(2B, 1, H, W) -> logits (B,)."""
        logits: Tensor = self._module(*images.chunk(2))
        return logits

    def loss(self, outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        right = ((outputs >= 0) == (batch.labels > 0.5)).sum()
        if self.experiment.loss == "mse":
            return functional.mse_loss(outputs.sigmoid(), batch.labels), right
        return functional.binary_cross_entropy_with_logits(outputs, batch.labels), right

    def validate(self) -> Validation:
        found = Validation.of(*score_pairs(self.network, self.data.album, self.data.validation))
        return replace(found, loss=found.mse) if self.experiment.loss == "mse" else found
