"""The grid search on Experiment 4's system, and how 81 results come from 9 runs.

A cap on the epochs and a patience only cut a trajectory short. So each of the 9 combinations of batch and rate is
trained once, under the longest cap and the longest patience, with its best weights kept; every other
combination's result is read off the trajectory.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path

from model.files import replacing
from training.experiments import EXPERIMENT_4, Experiment
from training.loop import finished
from training.state import Epoch, best_epoch

POINTS_FILE = "points.json"


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The values to combine; the defaults are the reference's."""

    base: Experiment = EXPERIMENT_4
    epochs: tuple[int, ...] = (10, 20, 30)
    batch_pairs: tuple[int, ...] = (64, 128, 256)
    learning_rates: tuple[float, ...] = (1e-4, 1e-3, 1e-5)
    patience_epochs: tuple[int, ...] = (3, 5, 7)

    def trajectories(self) -> list[Experiment]:
        """The runs that are trained: one for each batch and rate, as long as any combination needs."""
        return [
            replace(
                self.base,
                name=f"grid-batch{batch}-rate{rate:g}",
                batch_pairs=batch,
                learning_rate=rate,
                epochs=max(self.epochs),
                patience_epochs=max(self.patience_epochs),
                keep="best",
            )
            for rate, batch in product(self.learning_rates, self.batch_pairs)
        ]

    def points(self, trajectory: Experiment) -> list[Experiment]:
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

    experiment: Experiment
    stopped: int
    best: Epoch


def derive(experiment: Experiment, trajectory: Sequence[Epoch]) -> Point:
    """What `experiment` would have given, read off a trajectory that is at least as long."""
    history: list[Epoch] = []
    for row in trajectory:
        if finished(experiment, history):
            break
        history.append(row)
    return Point(experiment=experiment, stopped=len(history), best=history[best_epoch(history) - 1])


def run_grid(grid: Grid, folder: Path, train: Callable[[Experiment, Path], list[Epoch]]) -> list[Point]:
    """Runs every trajectory in a folder of its own and derives all points; after each it writes those known so far.

    `train` starts a trajectory, goes on with it, or only reads it if it is finished, and returns how it went.
    """
    points: list[Point] = []
    for trajectory in grid.trajectories():
        history = train(trajectory, folder / trajectory.name)
        points += [derive(point, history) for point in grid.points(trajectory)]
        write_points(folder / POINTS_FILE, points)
    return points


def winner(points: Sequence[Point]) -> Point:
    """The lowest validation loss; of equals, which share one trajectory's weights, the shortest run."""
    return min(points, key=lambda point: (point.best.validation_loss, point.stopped))


def write_points(path: Path, points: Sequence[Point]) -> None:
    """All points as JSON, one object for each."""
    rows = [
        {
            "name": point.experiment.name,
            "epochs": point.experiment.epochs,
            "batch_pairs": point.experiment.batch_pairs,
            "learning_rate": point.experiment.learning_rate,
            "patience_epochs": point.experiment.patience_epochs,
            "stopped": point.stopped,
            "best": asdict(point.best),
        }
        for point in points
    ]
    with replacing(path) as partial:
        partial.write_text(json.dumps(rows, indent=1) + "\n")
