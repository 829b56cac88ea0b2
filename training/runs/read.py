"""A finished run as its folder tells it: result, history, and the scores of the test pairs."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.checkpoint import Header, Metric
from model.errors import DataError
from training.learning.loop import METRICS_FILE, read_metrics
from training.learning.state import Epoch
from training.runs.finish import RESULT_FILE, SCORES_FILE
from training.statistics.rates import Labels, Scores
from training.statistics.summary import find_metric


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run as its folder tells it; `pairs` are the names of the two pictures of each test pair."""

    header: Header
    history: list[Epoch]
    pairs: list[tuple[str, str]]
    scores: Scores
    same: Labels

    def metric(self, name: str, split: str = "test") -> Metric:
        """The figure of that name. Raises DataError."""
        try:
            return find_metric(self.header.metrics, name, split)
        except DataError as error:
            raise DataError(f"{self.header.name}: {error}") from error


def read_run(folder: Path) -> Run:
    """Reads a run's folder. Raises DataError or TrainingError."""
    try:
        header = Header.model_validate_json((folder / RESULT_FILE).read_bytes())
        with (folder / SCORES_FILE).open(newline="") as file:
            rows = list(csv.DictReader(file))
        history = read_metrics(folder / METRICS_FILE)
        if not rows or not history:
            raise ValueError(f"{SCORES_FILE if history else METRICS_FILE} is empty")
        return Run(
            header=header,
            history=history,
            pairs=[(row["left"], row["right"]) for row in rows],
            scores=np.array([float(row["similarity"]) for row in rows]),
            same=np.array([row["same"] == "1" for row in rows]),
        )
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise DataError(f"{folder}: cannot be read as the results of a run: {error}") from error
