"""A run's history: its metrics file, with one row per epoch, and its learning curves as a PNG."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from model.errors import TrainingError
from model.files import replacing

METRICS_FILE = "metrics.jsonl"
CURVES_FILE = "curves.png"


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One row of the metrics file. Training metrics are means over the epoch's batches.

    For runs that learn from people, `train_accuracy` is the classifier's, and validation metrics are those of cosines
    calibrated on the validation pairs themselves.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_bce: float
    validation_mse: float
    validation_accuracy: float
    seconds: float
    images_per_s: float
    validation_best_accuracy: float | None = None
    validation_area: float | None = None
    validation_eer: float | None = None
    validation_pairs: int | None = None

    def describe(self, epochs: int, validated_on: str) -> str:
        """The line of the epoch, of at most `epochs`, for a terminal or a log."""
        rates = [
            ("AUC", self.validation_area, ".4f"),
            ("accuracy", self.validation_accuracy, ".1%"),
            ("EER", self.validation_eer, ".1%"),
        ]
        shown = ", ".join(f"{name} {value:{form}}" for name, value, form in rates if value is not None)
        count = f"{self.validation_pairs:,} " if self.validation_pairs else ""
        return (
            f"epoch {self.epoch}/{epochs}: loss {self.train_loss:.4f}; {count}{validated_on}: {shown}; "
            f"{self.seconds:.0f} s"
        )


def best_epoch(history: list[Epoch]) -> int:
    """The first epoch with the lowest validation loss, counted from 1; 0 for an empty history."""
    return min(history, key=lambda row: row.validation_loss).epoch if history else 0


def write_metrics(path: Path, history: list[Epoch]) -> None:
    """Replaces the file by one line of JSON per epoch. Raises TrainingError if it cannot be written."""
    try:
        with replacing(path) as partial:
            partial.write_text("".join(json.dumps(asdict(row)) + "\n" for row in history))
    except OSError as error:
        raise TrainingError(f"{path.parent}: cannot be written: {error}") from error


def read_metrics(path: Path) -> list[Epoch]:
    """The rows of a metrics file. Raises TrainingError if it cannot be read."""
    try:
        return [Epoch(**json.loads(line)) for line in path.read_text().splitlines()]
    except (OSError, TypeError, ValueError) as error:
        raise TrainingError(f"{path}: cannot be read as the metrics of a run: {error}") from error


def draw_curves(path: Path, title: str, history: list[Epoch]) -> None:
    """Draws training and validation, with one panel for the loss and one for the accuracy at a similarity of 0.5."""
    # Imported here, since it takes a second and few commands draw.
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    # A run that learns from people trains and validates with different losses, which need separate axes.
    learns_people = any(row.validation_best_accuracy is not None for row in history)
    trained, validated = (
        ("training, contrastive and margin", "validation, cross-entropy")
        if learns_people
        else ("training", "validation")
    )
    guessed = "training, by the classifier" if learns_people else "training"
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    epochs = [row.epoch for row in history]
    losses, accuracies = figure.subplots(1, 2)
    other = losses.twinx() if learns_people else losses
    lines = losses.plot(epochs, [row.train_loss for row in history], "C0.-", label=trained)
    lines += other.plot(epochs, [row.validation_loss for row in history], "C1.-", label=validated)
    losses.set(title=f"{title}: loss", xlabel="epoch", ylabel=trained, ylim=(0, None))
    other.set(ylabel=validated if learns_people else "loss", ylim=(0, None))
    losses.legend(handles=lines)
    accuracies.plot(epochs, [row.train_accuracy for row in history], "C0.-", label=guessed)
    accuracies.plot(epochs, [row.validation_accuracy for row in history], "C1.-", label="validation")
    accuracies.set(title=f"{title}: accuracy", xlabel="epoch", ylabel="share of right answers")
    accuracies.set(ylim=(0 if learns_people else 0.4, 1))
    accuracies.legend()
    for panel in (losses, accuracies):
        panel.grid(alpha=0.3)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=120)
