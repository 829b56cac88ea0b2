"""The grid search on Experiment 4's system, and how 81 results come from 9 runs.

A cap on the epochs and a patience only cut a trajectory short. So each of the 9 combinations of batch and rate is
trained once, under the longest cap and the longest patience, with its best weights kept; every other
combination's result is read off the trajectory's metrics.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from training.learning.history import METRICS_FILE, Epoch, best_epoch, read_metrics
from training.pairs.pair_recipe import PairExperiment

GRID_FOLDER = "grid"
# Folder, in the grid's, for the run of the best point, which has this name too.
BEST_FOLDER = "grid-best"


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The values to combine, by default the reference's, in variants of `base`."""

    base: PairExperiment
    epochs: tuple[int, ...] = (10, 20, 30)
    batch_pairs: tuple[int, ...] = (64, 128, 256)
    learning_rates: tuple[float, ...] = (1e-4, 1e-3, 1e-5)
    patience_epochs: tuple[int, ...] = (3, 5, 7)

    def trajectories(self) -> list[PairExperiment]:
        """The runs that are trained: one for each batch and rate, as long as any combination needs."""
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
        """The combinations that a trajectory answers for."""
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
    """The result of one combination: when it stops, and the epoch whose weights it keeps."""

    experiment: PairExperiment
    stopped: int
    best: Epoch


def derive(experiment: PairExperiment, trajectory: Sequence[Epoch]) -> Point | None:
    """What `experiment` would have given, read off a trajectory; None if that has not come so far yet."""
    history: list[Epoch] = []
    for row in trajectory:
        if experiment.is_finished(history):
            break
        history.append(row)
    if not experiment.is_finished(history):
        return None
    return Point(experiment=experiment, stopped=len(history), best=history[best_epoch(history) - 1])


def run_grid(
    grid: Grid, folder: Path, train: Callable[[PairExperiment, Path], object], only: Sequence[str] = ()
) -> None:
    """Runs every trajectory, or `only` those of these names, in a folder of its own.

    `train` starts a trajectory, goes on with it, or leaves it alone if it is finished.
    """
    for trajectory in grid.trajectories():
        if not only or trajectory.name in only:
            train(trajectory, folder / trajectory.name)


def known_points(grid: Grid, folder: Path) -> list[Point]:
    """All points that the trajectories in their folders answer for, finished or not. Raises TrainingError."""
    points: list[Point | None] = []
    for trajectory in grid.trajectories():
        path = folder / trajectory.name / METRICS_FILE
        history = read_metrics(path) if path.exists() else []
        points += [derive(point, history) for point in grid.points(trajectory)]
    return [point for point in points if point]


def winner(points: Sequence[Point]) -> Point:
    """The lowest validation loss; of equals, which share one trajectory's weights, the shortest run."""
    return min(points, key=lambda point: (point.best.validation_loss, point.stopped))
