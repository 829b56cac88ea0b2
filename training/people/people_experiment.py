"""An experiment that learns from people, each with their pictures, where `Experiment` learns from pairs."""

from dataclasses import dataclass, field
from math import cos, pi
from typing import ClassVar, Literal

from model.errors import TrainingError
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.configurations import ResidualConfig
from training.data.splits import HoldOut
from training.people.part_swap import FaceParts
from training.people.people_augmentation import BatchAugmentation


@dataclass(frozen=True, kw_only=True)
class IdentityExperiment:
    """One run, completely: two runs of equal value on one CPU end in equal weights.

    A batch has `people` with several pictures, `pictures` of each, two views of one picture of each of `singles`
    other people, and `virtual` people made of two others. `average` is how much of the moving average of the weights
    stays at a step; it is the average that is validated and kept.
    """

    patience_epochs: ClassVar[int | None] = None
    keep: ClassVar[Literal["last", "best"]] = "last"

    name: str
    network: ResidualConfig
    preprocessing: PreprocessingConfig
    augmentation: BatchAugmentation = field(default_factory=BatchAugmentation)
    held_out: HoldOut = field(default_factory=HoldOut)
    face: FaceParts
    people: int = 32
    pictures: int = 4
    singles: int = 48
    virtual: int = 16
    temperature: float = 0.1
    classifier_weight: float = 0.5
    classifier_scale: float = 20.0
    classifier_margin: float = 0.15
    epochs: int = 40
    learning_rate: float = 2e-3
    weight_decay: float = 5e-3
    rising: float = 0.3
    average: float = 0.998
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.people, self.pictures, self.epochs, self.learning_rate, self.temperature) <= 0:
            raise TrainingError(f"{self.name}: people, pictures, epochs, rate and temperature must be positive")
        if self.singles < 0 or self.virtual < 0:
            raise TrainingError(f"{self.name}: a batch cannot have fewer than no singles or virtual people")
        if not (0 < self.held_out.fraction < 1 and 0 < self.rising < 1 and 0 <= self.average < 1):
            raise TrainingError(f"{self.name}: the share held out, the rise and the average must lie between 0 and 1")
        if self.augmentation.colour and self.network.input_channels == 1:
            raise TrainingError(f"{self.name}: grey pictures have no colours to change")
        if self.network.input_shape != self.preprocessing.input_shape:
            raise TrainingError(f"{self.name}: the network and the preprocessing disagree on side_px or colour")

    def learning_rate_at(self, step: int, steps: int) -> float:
        """The rate of a step, the first being 0, in a run of so many: one cycle (Smith and Topin 2017).

        It rises from a 25th to the peak over the share `rising` of the run and falls to next to nothing, as cosines.
        """
        rise = self.rising * steps - 1
        if step < rise:
            return _between(self.learning_rate / 25, self.learning_rate, step / rise)
        return _between(self.learning_rate, self.learning_rate / 25e4, (step - rise) / (steps - 1 - rise))


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + cos(pi * share))
