"""The interfaces that the training loop needs: an experiment, and the recipe by which it learns.

A new kind of experiment implements both in one file, such as `training/pairs.py`, and adds its values to `experiments`.
"""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import Field, asdict, dataclass, fields
from typing import Any, ClassVar, Generic, Literal, Self, TypeAlias, TypeVar

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from model.checkpoint import Changes
from model.errors import TrainingError
from model.imaging.preprocessing import PreprocessingConfig
from model.networks import configurations, face_network
from training.data.album import Album
from training.data.datasets import DataSet
from training.data.source import DataSource
from training.learning import history, parallel
from training.statistics import operating_points, rates

Data = TypeVar("Data", bound=DataSet)
# "auto" is replaced before the run begins, so that a run records which of the two it used.
Precision: TypeAlias = Literal["float32", "bfloat16", "auto"]
# The key in the metadata of a field that was added when runs without it existed already.
LATER = "later"
# The purposes of random numbers. Append new ones at the end: the positions are part of the seeds.
PURPOSES = ("initialise", "order", "augment", "dropout", "people", "swap", "nuisances", "gradients", "fused head")
MAX_PURPOSES = 11


@dataclass(frozen=True, kw_only=True)
class Start:
    """The checkpoint whose tensors a run begins with; `embedding_sha256` covers them."""

    checkpoint: str
    embedding_sha256: str


class Experiment(ABC, Generic[Data]):
    """Everything that determines a run: two runs of equal experiments on the same CPU end with equal weights.

    Subclasses are frozen dataclasses. The order of their fields is the order in the JSON in checkpoints.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    name: str
    network: configurations.AnyNetworkConfig
    preprocessing: PreprocessingConfig
    epochs: int
    precision: Precision
    seed: int

    def __post_init__(self) -> None:
        if self.network.input_shape != self.preprocessing.input_shape:
            raise TrainingError(f"{self.name}: the network and the preprocessing disagree on side_px or colour")
        if self.freeze and self.start is None:
            raise TrainingError(f"{self.name}: freeze keeps the weights of a checkpoint; add --start-from CHECKPOINT")
        try:
            json.dumps(asdict(self), allow_nan=False, default=str)
        except ValueError as error:
            raise TrainingError(f"{self.name}: every number must be finite") from error

    @property
    def patience_epochs(self) -> int | None:
        """The run stops after this many epochs without a lower validation loss; None: it never stops early."""
        return None

    @property
    def keep(self) -> Literal["last", "best"]:
        """Which weights are kept: those of the last epoch, or those with the lowest validation loss."""
        return "last"

    @property
    def start(self) -> Start | None:
        """The checkpoint that the run begins with; None: it begins with random weights."""
        return None

    @property
    def freeze(self) -> tuple[str, ...]:
        """The stages of the network that do not learn, by the names in `FaceNetwork.stages`."""
        return ()

    @property
    def changes(self) -> Changes | None:
        """What differs from the experiment that this varies; None for the experiments themselves."""
        return None

    @property
    def validated_on(self) -> str:
        """What the validation pairs are, in words, for the line of an epoch."""
        return "validation pairs"

    @abstractmethod
    def learning_rate_at(self, step: int, steps_per_epoch: int) -> float:
        """The learning rate of a step; steps count from 0."""

    @abstractmethod
    def read_data(self, source: DataSource, album: Album) -> Data:
        """The training data, read from this experiment's list in the data folder. Raises DataError."""

    def warnings(self, data: Data) -> list[str]:  # noqa: ARG002 (subclasses need it)
        """What the data are too few for, in sentences."""
        return []

    @abstractmethod
    def recipe(self, data: Data, device: torch.device) -> "Recipe":
        """The recipe before its first step, equal in every process. Raises TrainingError for unsuitable data."""

    def is_finished(self, epochs: list[history.Epoch]) -> bool:
        """Whether a run with these epochs is complete: it has all its epochs, or its patience is exhausted."""
        stale = len(epochs) - history.best_epoch(epochs)
        patience = self.patience_epochs
        return len(epochs) >= self.epochs or (patience is not None and bool(epochs) and stale >= patience)

    def seed_for(self, purpose: str, epoch: int) -> int:
        """The seed for one purpose in one epoch of a run."""
        return self.seed * 1_000_003 + epoch * MAX_PURPOSES + PURPOSES.index(purpose)

    def generator(self, purpose: str, epoch: int = 0) -> torch.Generator:
        """A new generator for one purpose in one epoch, so that no epoch depends on what others have drawn."""
        return torch.Generator().manual_seed(self.seed_for(purpose, epoch))

    def identity(self, data_sha256: str) -> dict[str, Any]:
        """The values that a resumed run must share with the saved one, as plain JSON values."""
        values = {
            **self._values(),
            "data_sha256": data_sha256,
            "threads": torch.get_num_threads(),
            "processes": parallel.world_size(),
        }
        plain: dict[str, Any] = json.loads(json.dumps(values))
        return plain

    def as_json(self) -> str:
        """The JSON for a checkpoint's provenance. The network and the preprocessing are elsewhere in the header."""
        return json.dumps({**self._values(), "network": None, "preprocessing": None})

    def _values(self) -> dict[str, Any]:
        """The fields by name, without those added later that are at their defaults, so that older runs stay known."""
        later = {
            each.name for each in fields(self) if LATER in each.metadata and getattr(self, each.name) == each.default
        }
        values = {name: value for name, value in asdict(self).items() if name not in later}
        return {name: each.model_dump() if isinstance(each, BaseModel) else each for name, each in values.items()}


@dataclass(frozen=True, kw_only=True)
class Batch:
    """This process's share of a batch, on the CPU.

    `images` is float32 (B, C, H, W), 0..1, not normalised yet; the recipe defines `labels`. The accuracy covers only
    the first `judged` labels. `weight` is the factor of the share's mean loss in the global batch. In recipes that have
    teachers, `for_teachers` is float32 (b', C, H, W), 0..1: the pictures that they see.
    """

    images: Tensor
    labels: Tensor
    judged: int
    weight: float = 1.0
    for_teachers: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Metrics of the validation pairs. Epochs are compared by `loss`."""

    loss: float
    bce: float
    mse: float
    accuracy: float
    area: float
    eer: float
    pairs: int
    best_accuracy: float | None = None

    @classmethod
    def of(cls, scores: rates.Scores, same: rates.Labels) -> Self:
        """Metrics of similarities, with the cross-entropy as the loss. Raises TrainingError if it is not finite."""
        bce = rates.cross_entropy(scores, same)
        require_finite(bce)
        return cls(
            loss=bce,
            bce=bce,
            mse=rates.squared_error(scores, same),
            accuracy=rates.accuracy(scores, same, 0.5).value,
            area=rates.area_under_roc(scores, same),
            eer=rates.equal_error_rate(scores, same),
            pairs=len(scores),
        )


class Recipe(ABC):
    """How an experiment learns from its data.

    `state` has every tensor that steps change. `network`, all or part of `state`, is validated and kept. `frozen`
    modules do not learn.
    """

    state: nn.Module
    network: face_network.FaceNetwork
    optimizer: torch.optim.Optimizer
    batches_in_epoch: int
    frozen: Sequence[nn.Module] = ()

    @property
    def networks(self) -> Sequence[face_network.FaceNetwork]:
        """Every copy of the network in `state`: a run that starts from a checkpoint sets them all."""
        return (self.network,)

    def use_training_mode(self) -> None:
        """Sets the mode for steps; frozen stages keep the statistics of their batch normalisation."""
        self.state.train()
        for module in self.frozen:
            module.eval()

    @abstractmethod
    def batches(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch, which counts from 1. Every call gives the same ones."""

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, C, H, W) -> the input of `loss`. Runs in the experiment's precision."""

    @abstractmethod
    def loss(self, outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """The mean loss, and the number of judged labels predicted correctly. `batch.labels` is on the device."""

    def after_step(self, step: int) -> None:  # noqa: B027 (most recipes need nothing here)
        """Called after every step; steps count from 0."""

    @abstractmethod
    def validate(self) -> Validation:
        """Scores the validation pairs with `network`. Raises TrainingError if a loss or score is not finite."""

    def finish(self) -> operating_points.FalseMatchRates:
        """Fits and calibrates the kept network, whose weights are rounded to a checkpoint's precision already."""
        return (), None


def require_finite(value: float, what: str = "the loss") -> None:
    """Raises TrainingError if the value is not finite."""
    if not math.isfinite(value):
        raise TrainingError(f"{what} became {value}; finished epochs are kept; try a lower learning rate")
