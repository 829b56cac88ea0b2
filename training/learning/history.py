"""The rows of a run's metrics file, one an epoch."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from model.errors import TrainingError
from model.files import replacing

METRICS_FILE = "metrics.jsonl"


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One row of the metrics file. Training figures are means over the epoch's batches, as they were trained.

    Of a run that learns from people, `train_accuracy` is the classifier's, and validation figures are those of cosines
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


def best_epoch(history: list[Epoch]) -> int:
    """The first epoch of lowest validation loss; 0 before the first."""
    return min(history, key=lambda row: row.validation_loss).epoch if history else 0


def write_metrics(path: Path, history: list[Epoch]) -> None:
    """A JSON object per epoch, one a line; the whole file is replaced, so that a resumed run leaves no double rows.

    Raises TrainingError if it cannot be written.
    """
    try:
        with replacing(path) as partial:
            partial.write_text("".join(json.dumps(asdict(row)) + "\n" for row in history))
    except OSError as error:
        raise TrainingError(f"{path.parent}: cannot be written: {error}") from error


def read_metrics(path: Path) -> list[Epoch]:
    """The rows of a metrics file. Raises TrainingError."""
    try:
        return [Epoch(**json.loads(line)) for line in path.read_text().splitlines()]
    except (OSError, TypeError, ValueError) as error:
        raise TrainingError(f"{path}: cannot be read as the metrics of a run: {error}") from error
