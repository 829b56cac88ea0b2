"""The 81 results derived from 9 runs equal those of 81 runs."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.support.small_pairs import SMALL, run
from training.data.datasets import PairData
from training.learning.experiments import BEST_FOLDER, EXPERIMENT_4, GRID_BASE, GRID_BEST
from training.learning.grid import GRID_FOLDER, Grid, Point, derive, known_points, run_grid, winner
from training.learning.history import METRICS_FILE, Epoch, read_metrics, write_metrics
from training.learning.loop import Trained
from training.pairs import PairExperiment

ROOT = Path(__file__).parents[3]
TINY_GRID = Grid(
    base=replace(SMALL, loss="mse", decay_every_epochs=2),
    epochs=(2, 4),
    batch_pairs=(4, 9),
    learning_rates=(1e-2, 1e-3),
    patience_epochs=(1, 2),
)


def test_grid_has_the_values_of_the_reference() -> None:
    grid = Grid(base=GRID_BASE)
    points = [point for trajectory in grid.trajectories() for point in grid.points(trajectory)]
    combinations = {(p.epochs, p.batch_pairs, p.learning_rate, p.patience_epochs) for p in points}
    assert len(grid.trajectories()) == 9
    assert len(points) == len(combinations) == len({p.name for p in points}) == 81
    assert {p.epochs for p in points} == {10, 20, 30}
    assert {p.batch_pairs for p in points} == {64, 128, 256}
    assert {p.learning_rate for p in points} == {1e-3, 1e-4, 1e-5}
    assert {p.patience_epochs for p in points} == {3, 5, 7}
    assert all(replace(p, name="x") == replace(
        EXPERIMENT_4, name="x", epochs=p.epochs, batch_pairs=p.batch_pairs, learning_rate=p.learning_rate,
        patience_epochs=p.patience_epochs, precision="bfloat16",
    ) for p in points)  # fmt: skip
    assert (grid.trajectories()[0].batch_pairs, grid.trajectories()[0].learning_rate) == (64, 1e-4)


def test_derived_results_equal_direct_runs(data: PairData, tmp_path: Path) -> None:
    """Here 16 points from 4 trajectories; the grid has 81 from 9."""
    whole: dict[str, Trained] = {}

    def one(experiment: PairExperiment, folder: Path) -> list[Epoch]:
        whole[experiment.name] = run(experiment, data, folder, resume=True)
        return whole[experiment.name].history

    run_grid(TINY_GRID, tmp_path / "grid", one)
    points = known_points(TINY_GRID, tmp_path / "grid")
    assert len(points) == 16
    for point in points:
        direct = run(point.experiment, data, tmp_path / point.experiment.name)
        assert len(direct.history) == point.stopped
        assert direct.epoch == point.best.epoch
        assert direct.history[direct.epoch - 1].validation_loss == point.best.validation_loss
        trajectory = whole[point.experiment.name.partition("-epochs")[0]]
        if trajectory.epoch == direct.epoch:  # the winner always is of this kind
            for name, tensor in direct.network.state_dict().items():
                assert torch.equal(tensor, trajectory.network.state_dict()[name]), name
    assert len({point.stopped for point in points}) > 1


def test_resumed_grid_trains_nothing_twice(data: PairData, tmp_path: Path) -> None:
    calls = 0

    def one(experiment: PairExperiment, folder: Path) -> list[Epoch]:
        return run(experiment, data, folder, resume=True).history

    def interrupted(experiment: PairExperiment, folder: Path) -> list[Epoch]:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return one(experiment, folder)

    with pytest.raises(KeyboardInterrupt):
        run_grid(TINY_GRID, tmp_path, interrupted)
    first = known_points(TINY_GRID, tmp_path)
    run_grid(TINY_GRID, tmp_path, one)
    points = known_points(TINY_GRID, tmp_path)
    assert len(first) == 4
    assert points[:4] == first  # to the seconds that the epochs took
    assert len(points) == len({point.experiment.name for point in points}) == 16


def test_trajectories_can_be_run_by_name(data: PairData, tmp_path: Path) -> None:
    def one(experiment: PairExperiment, folder: Path) -> list[Epoch]:
        return run(experiment, data, folder, resume=True).history

    chosen = TINY_GRID.trajectories()[2]
    run_grid(TINY_GRID, tmp_path, one, [chosen.name])
    assert [each.name for each in tmp_path.iterdir()] == [chosen.name]
    assert [point.experiment for point in known_points(TINY_GRID, tmp_path)] == TINY_GRID.points(chosen)


def test_unfinished_trajectory_gives_the_points_it_passed(tmp_path: Path) -> None:
    trajectory = TINY_GRID.trajectories()[0]
    (tmp_path / trajectory.name).mkdir()

    def known(*losses: float) -> list[tuple[int, int | None]]:
        write_metrics(tmp_path / trajectory.name / METRICS_FILE, rows(*losses))
        return [(p.experiment.epochs, p.experiment.patience_epochs) for p in known_points(TINY_GRID, tmp_path)]

    assert known(0.5) == []
    assert known(0.5, 0.4) == [(2, 1), (2, 2)]
    assert known(0.5, 0.4, 0.41) == [(2, 1), (2, 2), (4, 1)]
    assert len(known(0.5, 0.4, 0.41, 0.42)) == 4


def rows(*losses: float) -> list[Epoch]:
    """A trajectory with these validation losses."""
    return [
        Epoch(epoch=number, learning_rate=0, train_loss=0, train_accuracy=0, validation_loss=loss, validation_bce=0,
              validation_mse=loss, validation_accuracy=0, seconds=0, images_per_s=0)
        for number, loss in enumerate(losses, 1)
    ]  # fmt: skip


def point(epochs: int, patience: int, *losses: float) -> Point:
    found = derive(replace(EXPERIMENT_4, epochs=epochs, patience_epochs=patience), rows(*losses))
    assert found
    return found


def test_epochs_and_patience_stop_a_trajectory() -> None:
    losses = (0.5, 0.4, 0.41, 0.42, 0.3, 0.31)
    assert (point(10, 2, *losses).stopped, point(10, 2, *losses).best.epoch) == (4, 2)
    assert (point(3, 9, *losses).stopped, point(3, 9, *losses).best.epoch) == (3, 2)
    assert (point(6, 3, *losses).stopped, point(6, 3, *losses).best.epoch) == (6, 5)


def test_winner_has_the_lowest_loss_then_the_shortest_run() -> None:
    points = [point(6, 3, 0.5, 0.4, 0.5, 0.5, 0.5), point(6, 1, 0.5, 0.4, 0.5), point(6, 3, 0.5, 0.41, 0.5, 0.5, 0.5)]
    assert winner(points) is points[1]


def test_grid_best_equals_the_published_winner() -> None:
    points = known_points(Grid(base=GRID_BASE), ROOT / "docs" / "results" / GRID_FOLDER)
    assert len(points) == 81
    assert replace(winner(points).experiment, name=BEST_FOLDER) == GRID_BEST


def test_metrics_of_a_run_can_be_read_back(data: PairData, tmp_path: Path) -> None:
    trained = run(SMALL, data, tmp_path)
    assert read_metrics(tmp_path / METRICS_FILE) == trained.history
