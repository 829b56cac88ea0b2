"""The grid search over Experiment 4's hyperparameters: 81 results from 9 runs.

The number of epochs and the patience only decide where a run stops. So each of the 9 combinations of batch and learning
rate is trained once, with the most epochs and the longest patience (its trajectory), and the results of the other
combinations are read off its metrics.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from training.learning import history
from training.learning.experiments import GRID_BASE
from training.pairs import PairExperiment

GRID_FOLDER = "grid"
GRID_HEADINGS = ("batch", "rate", "epochs", "patience", "stopped after", "best epoch", "validation MSE",
            "validation accuracy")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The values to combine in variants of `base`; the defaults are the reference's."""

    base: PairExperiment = GRID_BASE
    epochs: tuple[int, ...] = (10, 20, 30)
    batch_pairs: tuple[int, ...] = (64, 128, 256)
    learning_rates: tuple[float, ...] = (1e-4, 1e-3, 1e-5)
    patience_epochs: tuple[int, ...] = (3, 5, 7)

    def trajectories(self) -> list[PairExperiment]:
        """The runs to train: one for each batch and learning rate, as long as any combination needs."""
        return [
            replace(
                self.base,
                name=f"grid-batch{batch}-rate{rate:g}-{self.base.precision}",
                batch_pairs=batch,
                learning_rate=rate,
                epochs=max(self.epochs),
                patience_epochs=max(self.patience_epochs),
                keep="best",
            )
            for rate, batch in product(self.learning_rates, self.batch_pairs)
        ]

    def points(self, trajectory: PairExperiment) -> list[PairExperiment]:
        """The combinations whose results a trajectory contains."""
        return [
            replace(
                trajectory,
                name=f"{trajectory.name}-epochs{epochs}-patience{patience}",
                epochs=epochs,
                patience_epochs=patience,
            )
            for epochs, patience in product(self.epochs, self.patience_epochs)
        ]


@dataclass(frozen=True, kw_only=True)
class Point:
    """The result of one combination: the epoch after which it stops, and the one whose weights it keeps."""

    experiment: PairExperiment
    stopped: int
    best: history.Epoch

    def cells(self) -> list[str]:
        """The row of a table, in the order of GRID_HEADINGS."""
        run, best = self.experiment, self.best
        row = [run.batch_pairs, f"{run.learning_rate:g}", run.epochs, run.patience_epochs, self.stopped, best.epoch]
        return [*map(str, row), f"{best.validation_loss:.4f}", f"{best.validation_accuracy:.2%}"]


def derive(experiment: PairExperiment, trajectory: Sequence[history.Epoch]) -> Point | None:
    """The result of `experiment`, read off a trajectory; None if the trajectory is not long enough yet."""
    rows: list[history.Epoch] = []
    for row in trajectory:
        if experiment.is_finished(rows):
            break
        rows.append(row)
    if not experiment.is_finished(rows):
        return None
    return Point(experiment=experiment, stopped=len(rows), best=rows[history.best_epoch(rows) - 1])


def run_grid(
    grid: Grid, folder: Path, train: Callable[[PairExperiment, Path], object], only: Sequence[str] = ()
) -> None:
    """Starts, resumes or skips each trajectory, or those named by `only`, by `train`, each in its own folder."""
    for trajectory in grid.trajectories():
        if not only or trajectory.name in only:
            train(trajectory, folder / trajectory.name)


def known_points(grid: Grid, folder: Path) -> list[Point]:
    """All points that the trajectories contain so far. Raises TrainingError if a metrics file cannot be read."""
    points: list[Point | None] = []
    for trajectory in grid.trajectories():
        path = folder / trajectory.name / history.METRICS_FILE
        rows = history.read_metrics(path) if path.exists() else []
        points += [derive(point, rows) for point in grid.points(trajectory)]
    return [point for point in points if point]


def winner(points: Sequence[Point]) -> Point:
    """The point with the lowest validation loss. Ties share one trajectory's weights; the shortest run wins."""
    return min(points, key=lambda point: (point.best.validation_loss, point.stopped))
