"""The commands with `--ray`: the same results as one after the other, bit for bit, also if workers are killed."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from model.checkpoint import load
from model.errors import DataError
from model.imaging.preprocessing import PreprocessingConfig
from tests.training.bulk.conftest import pictures
from tests.training.learning.test_grid import TINY_GRID
from tests.training.support.ray_cluster import RayCluster, killing_workers, ray_cluster
from tests.training.support.small_pairs import NARROW, SIDE_PX, SMALL
from training import cluster
from training.__main__ import main
from training.bulk import embedding
from training.learning import grid, loop
from training.learning.experiments import BEST_FOLDER, EXPERIMENTS, GRID_BASE
from training.learning.history import METRICS_FILE, read_metrics
from training.runs.results import SCORES_FILE

SEEDS, EPOCHS = (3, 4), 6


@pytest.fixture(scope="module")
def ray() -> Iterator[RayCluster]:
    with ray_cluster(workers=2) as found:
        yield found


@pytest.fixture
def arguments(people: Path, tmp_path: Path) -> list[str]:
    """What is common to commands on the drawn people."""
    data = ["--data", str(people), "--images", "people", "--train-pairs", "train.txt", "--test-pairs", "test.txt"]
    return [*data, "--cache", str(tmp_path / "cache"), "--device", "cpu", "--threads", "1", "--out"]


def rows_of(folder: Path) -> list[dict[str, object]]:
    """A run's metrics without its times."""
    timed = ("seconds", "images_per_s")
    rows = [asdict(row) for row in read_metrics(folder / METRICS_FILE)]
    return [{name: value for name, value in row.items() if name not in timed} for row in rows]


def assert_equal_runs(one: Path, other: Path) -> None:
    """The metrics, and all tensors of the states bit for bit."""
    assert rows_of(one) == rows_of(other)
    ours, theirs = (load_file(folder / loop.STATE_FILE) for folder in (one, other))
    assert ours.keys() == theirs.keys()
    assert all(ours[key].tobytes() == theirs[key].tobytes() for key in ours)


def assert_equal_checkpoints(one: Path, other: Path) -> None:
    ours, theirs = (load(path).header for path in (one, other))
    assert ours.embedding_sha256 == theirs.embedding_sha256
    assert ours.metrics == theirs.metrics


def test_seeds_whose_workers_are_killed_equal_serial_ones(
    ray: RayCluster,
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(EXPERIMENTS, SMALL.name, SMALL)
    command = [
        "seeds",
        SMALL.name,
        "--precision",
        "float32",
        "--seeds",
        *map(str, SEEDS),
        "--epochs",
        str(EPOCHS),
        *arguments,
    ]
    serial, out = tmp_path / "serial", tmp_path / "ray"
    assert main([*command, str(serial)]) == 0
    capsys.readouterr()
    finished = set[str]()

    def has_begun() -> bool:
        """Whether a run has some of its epochs, which are noted. It must go on from them."""
        logs = [path.read_text().splitlines() for path in out.glob(f"seed-*/{METRICS_FILE}")]
        finished.update(line for lines in logs for line in lines)
        return any(0 < len(lines) < EPOCHS - 1 for lines in logs)

    with killing_workers(ray, 2, 2, has_begun) as killed:
        assert main([*command, str(out), "--ray-address", ray.address]) == 0
    assert killed
    shown = capsys.readouterr().out
    for seed in SEEDS:
        folder, name = f"seed-{seed}", f"{SMALL.name}-epochs{EPOCHS}-seed{seed}"
        assert_equal_runs(out / folder, serial / folder)
        assert_equal_checkpoints(*(root / folder / f"{name}.safetensors" for root in (out, serial)))
        assert (out / folder / SCORES_FILE).read_bytes() == (serial / folder / SCORES_FILE).read_bytes()
        assert name in shown
    # Epochs from before a worker was killed keep their times: they were not trained again.
    assert finished
    assert finished <= {line for path in out.glob(f"seed-*/{METRICS_FILE}") for line in path.read_text().splitlines()}
    assert f"2 of 2 runs are done, {2 * EPOCHS} of at most {2 * EPOCHS} epochs" in shown
    assert not list(out.glob(".cluster-*"))


def test_embedding_equals_that_without_ray(
    ray: RayCluster, checkpoint_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photographs = tmp_path / "photographs"
    for name, data in pictures().items():
        (photographs / name).parent.mkdir(parents=True, exist_ok=True)
        (photographs / name).write_bytes(data)
    monkeypatch.setattr("training.bulk.listing.PART_FILES", 4)
    command = ["embed", str(photographs), "--weights", str(checkpoint_path), "--out"]
    assert main([*command, str(tmp_path / "ray.parquet"), "--ray-address", ray.address]) == 0
    monkeypatch.setattr(embedding, "run_tasks", lambda open_work, tasks, *_: map(open_work(), tasks))
    assert main([*command, str(tmp_path / "here.parquet")]) == 0
    assert (tmp_path / "ray.parquet").read_bytes() == (tmp_path / "here.parquet").read_bytes()


def test_worker_that_does_not_see_the_folder_refuses(
    ray: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine whose folder of that name is another one."""
    other = cluster.Mark(path=tmp_path / "absent", text="1")
    monkeypatch.setattr(cluster, "_marked", lambda _: nullcontext(other))
    with pytest.raises(DataError, match=r" does not see this folder; choose an --out that all machines of the [^\n]+$"):
        list(cluster.Cluster(address=ray.address).run([print], tmp_path))


@pytest.mark.usefixtures("tasks_here")
def test_grid_of_tasks_equals_a_serial_one(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base = replace(GRID_BASE, network=NARROW, preprocessing=PreprocessingConfig(side_px=SIDE_PX), precision="float32")
    plan = replace(TINY_GRID, base=base, learning_rates=(1e-3,))
    monkeypatch.setattr(grid, "Grid", lambda: plan)
    serial, out = tmp_path / "serial", tmp_path / "tasks"
    for folder, further in ((serial, []), (out, ["--ray"])):
        assert main(["grid", *arguments, str(folder), *further]) == 0
        assert "8 of 8 points are known" in capsys.readouterr().out
    for trajectory in plan.trajectories():
        assert_equal_runs(out / trajectory.name, serial / trajectory.name)
    name = f"{BEST_FOLDER}/{BEST_FOLDER}.safetensors"
    assert_equal_checkpoints(out / name, serial / name)


def test_folder_is_known_by_the_text_of_its_mark(tmp_path: Path) -> None:
    mark = cluster.Mark(path=tmp_path / "mark", text="1")
    mark.path.write_text("2")
    with pytest.raises(DataError):
        mark.require_visible()
    mark.path.write_text("1")
    mark.require_visible()


def test_ray_that_is_absent_is_one_line(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda _: None)
    assert main(["grid", *arguments, str(tmp_path / "out"), "--ray"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: Ray is not installed; install the extra: pip install -e '.[cluster]'")


def test_finished_work_needs_no_cluster(tmp_path: Path) -> None:
    assert list(cluster.Cluster(address="127.0.0.1:1").run([], tmp_path)) == []
