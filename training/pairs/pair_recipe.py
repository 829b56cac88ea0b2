"""Experiments 1 to 4 and their recipe: they learn from pairs whether two pictures show the same person.

B pairs in a batch, H W pixels
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from model.errors import TrainingError
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.configurations import NetworkConfig
from model.networks.embedder import to_unit
from model.networks.siamese import SiameseNetwork, initialise
from training.data.album import Album
from training.data.datasets import PairData
from training.data.source import DataSource
from training.learning import parallel
from training.learning.experiment import Batch, Experiment, Recipe, Validation
from training.pairs import pair_augmentation
from training.scoring import score_pairs


@dataclass(frozen=True, kw_only=True)
class PairExperiment(Experiment[PairData]):
    """A run that learns from pairs."""

    name: str
    network: NetworkConfig
    preprocessing: PreprocessingConfig = field(default_factory=PreprocessingConfig)
    augmentation: pair_augmentation.Augmentation | None = None
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
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        positive = (self.epochs, self.batch_pairs, self.learning_rate, self.decay_every_epochs, self.patience_epochs)
        if any(value is not None and value <= 0 for value in positive):
            raise TrainingError(
                f"{self.name}: epochs, batch_pairs, learning_rate, decay_every_epochs and patience_epochs "
                "must be positive"
            )
        if not 0 < self.validation_fraction < 1:
            raise TrainingError(f"{self.name}: validation_fraction must lie between 0 and 1")
        super().__post_init__()

    def learning_rate_at(self, step: int, steps_per_epoch: int) -> float:
        """Constant, or multiplied by `decay_factor` every `decay_every_epochs`."""
        decays = step // steps_per_epoch // self.decay_every_epochs if self.decay_every_epochs else 0
        return self.learning_rate * self.decay_factor**decays

    def read_data(self, source: DataSource, album: Album) -> PairData:
        path = source.folder / source.train_pairs
        return PairData.read(album, path, self.validation_fraction, self.split_seed)

    def recipe(self, data: PairData, device: torch.device) -> "PairRecipe":
        return PairRecipe(self, data, device)


class PairRecipe(Recipe):
    """Trains a Siamese network on augmented pairs; each batch is split between the processes."""

    network: SiameseNetwork

    def __init__(self, experiment: PairExperiment, data: PairData, device: torch.device) -> None:
        parallel.require_share_of(len(data.training), experiment.batch_pairs)
        network = SiameseNetwork(experiment.network)
        initialise(network, experiment.generator("initialise"))
        self.experiment, self.data = experiment, data
        self.state = self.network = network.to(device).to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(
            network.parameters(), experiment.learning_rate, weight_decay=experiment.weight_decay
        )
        self.batches_in_epoch = -(-len(data.training) // experiment.batch_pairs)
        self._module = parallel.wrap(self.network)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Every pair once, in a new order: images float32 (2B, 1, H, W), all left ones first, labels float32 (B,)."""
        experiment, pixels = self.experiment, self.data.album.pixels
        order = torch.randperm(len(self.data.training), generator=experiment.generator("order", epoch))
        changes = experiment.generator("augment", epoch)
        for chosen in order.split(experiment.batch_pairs):
            mine = parallel.share(torch.arange(len(chosen)))
            pairs = self.data.training[chosen[mine]]
            images = to_unit(pixels[torch.cat([pairs.left, pairs.right])])
            if experiment.augmentation:
                drawn = pair_augmentation.draw(2 * len(chosen), experiment.augmentation, changes)
                images = pair_augmentation.augment(images, drawn[torch.cat([mine, mine + len(chosen)])])
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
        data = self.data
        found = Validation.of(*score_pairs(self.network, self.experiment.preprocessing, data.album, data.validation))
        return replace(found, loss=found.mse) if self.experiment.loss == "mse" else found
