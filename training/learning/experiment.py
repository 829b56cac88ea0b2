"""What the loop needs of an experiment, and of the recipe by which it learns.

A kind of experiment implements both in one file, such as `pairs/pair_recipe.py`, and has its values in `experiments`.

B images in a batch, C channels, H W pixels
"""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import Field, asdict, dataclass
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar

import torch
from torch import Tensor, nn

from model.errors import TrainingError
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.configurations import AnyNetworkConfig
from model.networks.face_network import FaceNetwork
from training.data.album import Album
from training.data.datasets import DataSet
from training.data.source import DataSource
from training.learning import parallel
from training.learning.history import Epoch, best_epoch
from training.statistics import operating_points, rates

Data = TypeVar("Data", bound=DataSet)
# What random numbers are drawn for. New purposes go last, so that the seeds of the others stay.
PURPOSES = ("initialise", "order", "augment", "dropout", "people", "swap")
MAX_PURPOSES = 11


class Experiment(ABC, Generic[Data]):
    """One run, completely: two runs of equal value on one CPU end in equal weights.

    A kind of experiment is a frozen dataclass. The order of its fields is that of the JSON in its checkpoints.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    name: str
    network: AnyNetworkConfig
    preprocessing: PreprocessingConfig
    epochs: int
    precision: Literal["float32", "bfloat16"]
    seed: int

    def __post_init__(self) -> None:
        if self.network.input_shape != self.preprocessing.input_shape:
            raise TrainingError(f"{self.name}: the network and the preprocessing disagree on side_px or colour")

    @property
    def patience_epochs(self) -> int | None:
        """After how many epochs without a lower validation loss a run ends; None for never."""
        return None

    @property
    def keep(self) -> Literal["last", "best"]:
        """Which weights are kept, those of the last epoch or those of lowest validation loss."""
        return "last"

    @abstractmethod
    def learning_rate_at(self, step: int, steps_per_epoch: int) -> float:
        """The learning rate of a step, the first being 0."""

    @abstractmethod
    def read_data(self, source: DataSource, album: Album) -> Data:
        """Reads the experiment's list in the data folder. Raises DataError."""

    @abstractmethod
    def recipe(self, data: Data, device: torch.device) -> "Recipe":
        """The recipe before its first step, in every process alike. Raises TrainingError for unsuitable data."""

    def is_finished(self, history: list[Epoch]) -> bool:
        """Whether a run of these epochs ends here: all are done, or patience is."""
        stale = len(history) - best_epoch(history)
        patience = self.patience_epochs
        return len(history) >= self.epochs or (patience is not None and bool(history) and stale >= patience)

    def seed_for(self, purpose: str, epoch: int) -> int:
        """A seed for each purpose and epoch, so that none depends on how many numbers another has drawn."""
        return self.seed * 1_000_003 + epoch * MAX_PURPOSES + PURPOSES.index(purpose)

    def generator(self, purpose: str, epoch: int = 0) -> torch.Generator:
        """A new generator for that purpose in that epoch."""
        return torch.Generator().manual_seed(self.seed_for(purpose, epoch))

    def identity(self, data_sha256: str) -> dict[str, Any]:
        """What must be equal for a run to be the same run, as plain JSON values."""
        values = {
            **asdict(self),
            "data_sha256": data_sha256,
            "threads": torch.get_num_threads(),
            "processes": parallel.world_size(),
        }
        values["network"] = self.network.model_dump()
        values["preprocessing"] = self.preprocessing.model_dump()
        plain: dict[str, Any] = json.loads(json.dumps(values))
        return plain

    def as_json(self) -> str:
        """As a checkpoint's provenance has it; network and preprocessing stand elsewhere in the header."""
        return json.dumps({**asdict(self), "network": None, "preprocessing": None})


@dataclass(frozen=True, kw_only=True)
class Batch:
    """This process's share of a batch, on the CPU.

    `images` are float32 (B, C, H, W), 0..1, not normalised yet; the recipe's loss knows what `labels` mean. Accuracy is
    over the first `judged` of them. `weight` is the factor of the share's mean loss in the global batch.
    """

    images: Tensor
    labels: Tensor
    judged: int
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Validation:
    """The figures of the validation pairs; `loss` is the one by which epochs are compared."""

    loss: float
    bce: float
    mse: float
    accuracy: float
    best_accuracy: float | None = None
    area: float | None = None

    @classmethod
    def of(cls, scores: rates.Scores, same: rates.Labels) -> Self:
        """Of similarities, compared by their cross-entropy. Raises TrainingError if that is not finite."""
        bce = rates.cross_entropy(scores, same)
        require_finite(bce)
        mse, right = rates.squared_error(scores, same), rates.accuracy(scores, same, 0.5).value
        return cls(loss=bce, bce=bce, mse=mse, accuracy=right)


class Recipe(ABC):
    """How an experiment learns from its data. The loop moves batches to the device, takes the steps, and saves.

    `state` has every tensor that steps change; `network`, all of it or a part, is validated and kept.
    """

    state: nn.Module
    network: FaceNetwork
    optimizer: torch.optim.Optimizer
    batches_in_epoch: int

    @abstractmethod
    def batches(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch, the first being 1; the same ones each time."""

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, C, H, W) -> what the loss is computed from; runs in the experiment's precision."""

    @abstractmethod
    def loss(self, outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """The mean loss, and how many judged labels were right; `batch.labels` are on the device."""

    def after_step(self, step: int) -> None:  # noqa: B027 (most recipes need nothing here)
        """Called after every step, the first being 0."""

    @abstractmethod
    def validate(self) -> Validation:
        """Scores the validation pairs with `network`. Raises TrainingError for figures that are not finite."""

    def finish(self) -> operating_points.FalseMatchRates:
        """Fits what is left to fit of the kept network, whose weights are as a checkpoint stores them."""
        return (), None


def require_finite(value: float, what: str = "the loss") -> None:
    """Raises TrainingError for a value that is not."""
    if not math.isfinite(value):
        raise TrainingError(f"{what} became {value}; the last good epoch is kept, try a lower learning rate")
