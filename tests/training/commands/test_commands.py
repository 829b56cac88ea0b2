"""`python -m training`, as somebody uses it who trains on a folder of their own."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from app.server.replica import open_verifier
from app.settings import read_settings
from model.checkpoint import load
from model.imaging.preprocessing import PreprocessingConfig
from tests.drawing import encode, portrait
from tests.faces import scene
from tests.model.support.pictures import prepare
from tests.training.learning.test_grid import TINY_GRID
from tests.training.support.small_faces import draw_faces
from tests.training.support.small_pairs import NARROW, SIDE_PX
from tests.training.support.small_people import PICTURES
from training.__main__ import _parser, _with_default, main
from training.commands import train as commands
from training.learning import grid
from training.learning.experiments import BEST_FOLDER, GRID_BASE
from training.learning.grid import known_points, winner

ROOT = Path(__file__).parents[3]
PATIENCE_S = 600


@dataclass(frozen=True, kw_only=True)
class User:
    """Somebody at a terminal, with their data, a cache and the folder of a finished smoke run."""

    data: Path
    cache: Path
    out: Path

    def arguments(self, *command: str) -> list[str]:
        """A command on the user's data."""
        lists = ["--images", "people", "--train-pairs", "train.txt", "--test-pairs", "test.txt"]
        return [*command, "--data", str(self.data), "--cache", str(self.cache), *lists]

    @property
    def checkpoint(self) -> Path:
        return self.out / "smoke.safetensors"


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "training", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


@pytest.fixture(scope="module")
def user(people: Path, tmp_path_factory: pytest.TempPathFactory) -> User:
    """The smoke run is trained here, in a process of its own."""
    folder = tmp_path_factory.mktemp("user")
    user = User(data=people, cache=folder / "cache", out=folder / "smoke")
    done = python(*user.arguments("run", "smoke", "--device", "cpu", "--threads", "1", "--out", str(user.out)))
    assert done.returncode == 0, done.stderr
    assert f"serve it with: python -m app --weights {user.checkpoint}" in done.stdout
    assert "10 training and 2 validation pairs" in done.stdout
    assert "\nat most 2 epochs, about 0.0 hours\n" in done.stdout
    assert "\nepoch 2/2: loss " in done.stdout
    assert "; 2 validation pairs: AUC " in done.stdout
    assert "epoch" not in done.stderr  # a progress bar is for terminals
    return user


def refusal(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    """The one line on standard error, after the progress, with which a command is refused."""
    capsys.readouterr()
    assert main(arguments) == 1
    *progress, line = capsys.readouterr().err.splitlines()
    assert not any("error" in each for each in progress)
    assert line.startswith("error: ")
    return line


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for command in ("run", "evaluate", "prepare", "grid", "report"):
        assert f"\n    {command} " in shown


def test_prepare_prints_pictures_and_pairs(user: User, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(user.arguments("prepare")) == 0
    album, copied, train, test = capsys.readouterr().out.splitlines()
    assert album.startswith("18 pictures of 6 people, sha256 ")
    # The drawn patterns are so much alike.
    assert " pairs of pictures look like copies under two names: Person_" in copied
    assert train == "10 training and 2 validation pairs, 2 of which show a person who is in a training pair too"
    assert test == "test.txt: 12 pairs, 6 of them of one person"


def test_prepare_for_an_experiment_that_learns_from_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = draw_faces(tmp_path / "data")
    arguments = ["prepare", "experiment-5", "--data", str(data), "--images", "people", "--train-people", "people.txt",
                 "--test-pairs", "test.txt", "--cache", str(tmp_path / "cache")]  # fmt: skip
    assert main(arguments) == 0
    album, faceless, people, test = capsys.readouterr().out.splitlines()
    assert album.startswith(f"{sum(PICTURES)} pictures of {len(PICTURES)} people")
    assert faceless == "0 pictures left out, because no face was found: none"
    assert " people with " in people
    assert test == "test.txt: 4 pairs, 2 of them of one person"
    (data / "test.txt").unlink()
    assert main([*arguments, "--no-test"]) == 0
    assert capsys.readouterr().out.splitlines() == [album, faceless, people]
    scene(size=(250, 250)).save(data / "people" / "Person_9" / "Person_9_0001.png")
    line = refusal(capsys, [*arguments, "--no-test"])
    assert "the album has 2; no face large enough was found in Person_9/Person_9_0001; `split EXPERIMENT`" in line


def test_scenes_and_template_name_missing_data(user: User, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    people, pairs = tmp_path / "people.txt", tmp_path / "pairs.txt"
    people.write_text("Nobody\t1\n")
    pairs.write_text("Person_0\t1\t9\n")
    scenes = user.arguments("scenes", str(user.checkpoint))
    lists = ["--train-people", str(people)]
    template = refusal(capsys, [*user.arguments("template"), *lists])
    assert "the template needs pictures with a face; no face was found" in template
    assert "scenes need 4 pictures of training people; there are 0" in refusal(capsys, [*scenes, *lists])
    line = refusal(capsys, [*scenes, *lists, "--test-pairs", str(pairs)])
    assert line == "error: people: 1 of the pairs' pictures are missing, such as Person_0/Person_0_0009"


def test_grid_tests_its_best_point_in_its_own_folder(
    user: User, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = replace(GRID_BASE, network=NARROW, preprocessing=PreprocessingConfig(side_px=SIDE_PX), precision="float32")
    monkeypatch.setattr(grid, "Grid", lambda: replace(TINY_GRID, base=small))
    assert main([*user.arguments("grid", "--out", str(tmp_path / "grid")), "--device", "cpu"]) == 0
    assert "16 of 16 points are known; the best by validation loss is " in capsys.readouterr().out
    best = load(tmp_path / "grid" / BEST_FOLDER / f"{BEST_FOLDER}.safetensors").header
    points = known_points(replace(TINY_GRID, base=small), tmp_path / "grid")
    assert best.provenance.epochs == winner(points).stopped
    assert {metric.split for metric in best.metrics} == {"validation", "test"}


def test_run_writes_a_checkpoint_that_the_service_loads(user: User) -> None:
    verifier = open_verifier(read_settings({"weights": user.checkpoint, "device": "cpu"}, environment={}))
    assert verifier.header.name == "smoke"
    pixels = prepare(encode(portrait(0)), PreprocessingConfig())
    embeddings = verifier.embed(np.stack([pixels, pixels]))
    assert verifier.compare(embeddings[:1], embeddings[1:])[0] >= verifier.header.threshold.value


def test_run_writes_all_files(user: User) -> None:
    assert sorted(path.name for path in user.out.iterdir()) == [
        "curves.png", "metrics.jsonl", "result.json", "smoke.md", "smoke.safetensors", "state.safetensors",
        "test-scores.csv", "test-summary.json",
    ]  # fmt: skip


def test_evaluate_repeats_the_test_metrics_of_the_run(user: User, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(user.arguments("evaluate", str(user.checkpoint), "--device", "cpu")) == 0
    title, *lines = capsys.readouterr().out.splitlines()
    heading = lines.index("intervals over the 6 people of these pairs:")
    lines, over_people = lines[:heading], lines[heading + 1 :]
    header = load(user.checkpoint).header
    assert title == f"smoke at its threshold {header.threshold.value:.4f} on test.txt of people"
    tested = [metric for metric in header.metrics if metric.split == "test"]
    for metric, line in zip(tested, lines, strict=True):
        assert line.startswith(f"test        {metric.name:<22} {metric.value:.4f}")
        assert line.endswith("n=12")
    with_interval = [metric for metric in tested if metric.interval]
    for metric, line in zip(with_interval, over_people, strict=True):
        assert line.startswith(f"test        {metric.name:<22} {metric.value:.4f}  95% ")


def test_card_prints_the_card_of_the_run(user: User, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["card", str(user.checkpoint)]) == 0
    assert capsys.readouterr().out == (user.out / "smoke.md").read_text()


def test_occupied_folder_is_refused(user: User, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = user.arguments("run", "smoke", "--device", "cpu", "--out", str(user.out))
    assert "already holds a run; add --resume" in refusal(capsys, arguments)


@pytest.mark.parametrize("seed", ["-1", "99999999999999999999", "one"])
def test_invalid_seed_is_refused(capsys: pytest.CaptureFixture[str], seed: str) -> None:
    with pytest.raises(SystemExit):
        main(["run", "smoke", "--seed", seed])
    assert "--seed" in capsys.readouterr().err


def test_missing_data_folder_is_refused(tmp_path: Path) -> None:
    refused = python("prepare", "--data", str(tmp_path / "nowhere"))
    assert refused.returncode == 1
    assert refused.stdout == ""
    (line,) = refused.stderr.splitlines()
    assert line.startswith(f"error: {tmp_path / 'nowhere'}: the folder does not exist")


def test_missing_pictures_are_refused(user: User, capsys: pytest.CaptureFixture[str]) -> None:
    (user.data / "asks.txt").write_text("Person_0\t1\t2\nPerson_0\t1\t77\n")
    line = refusal(capsys, [*user.arguments("prepare"), "--train-pairs", "asks.txt"])
    assert line == f"error: {user.data / 'asks.txt'}:2: there is no picture Person_0/Person_0_0077"


def test_broken_file_is_an_error_that_names_the_option_to_leave_it_out(
    user: User, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(user.data, data)
    (data / "people" / "Person_0" / "cut.jpg").write_bytes(b"")
    arguments = [*replace(user, data=data).arguments("prepare"), "--cache", str(tmp_path / "cache")]
    line = refusal(capsys, arguments)
    assert ": repair or remove broken files, or leave them out by --skip-broken: Person_0/cut.jpg: " in line
    capsys.readouterr()
    assert main([*arguments, "--skip-broken"]) == 0
    first, album, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("left out by --skip-broken: Person_0/cut.jpg: ")
    assert album.startswith("18 pictures of 6 people")


def test_missing_list_or_folder_is_refused(user: User, capsys: pytest.CaptureFixture[str]) -> None:
    assert "absent.txt: cannot be read" in refusal(capsys, [*user.arguments("prepare"), "--train-pairs", "absent.txt"])
    assert "neither the folder absent" in refusal(capsys, [*user.arguments("prepare"), "--images", "absent"])


@pytest.mark.parametrize("command", [["run", "experiment-99"], ["run", "smoke", "--device", "gpu"],
                                     ["run", "smoke", "--device", "cuda:99"]], ids=" ".join)  # fmt: skip
def test_unknown_experiment_or_device_is_refused(
    user: User, capsys: pytest.CaptureFixture[str], tmp_path: Path, command: list[str]
) -> None:
    line = refusal(capsys, user.arguments(*command, "--out", str(tmp_path / "run")))
    assert command[-1] in line
    assert not (tmp_path / "run").exists()


def test_other_file_is_refused_as_a_checkpoint(user: User, capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(capsys, user.arguments("evaluate", str(user.data / "train.txt"), "--device", "cpu"))
    assert "train.txt: not a safetensors file" in line


@pytest.mark.parametrize(
    "pairs",
    ["Person_0\t1\t2\nPerson_0\t1\tPerson_1\t1\n", "".join(f"Person_{i}\t1\t2\n" for i in range(6))],
    ids=["too few to split", "of one kind"],
)
def test_validation_pairs_of_one_kind_are_refused_before_training(
    user: User, capsys: pytest.CaptureFixture[str], tmp_path: Path, pairs: str
) -> None:
    """Rates need pairs of one person and of two among the validation pairs."""
    (user.data / "few.txt").write_text(pairs)
    arguments = user.arguments("run", "smoke", "--device", "cpu", "--out", str(tmp_path / "run"))
    assert str(user.data / "few.txt") in refusal(capsys, [*arguments, "--train-pairs", "few.txt"])
    assert not (tmp_path / "run").exists()


def test_test_pairs_of_one_kind_are_refused_before_training(
    user: User, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (user.data / "same.txt").write_text("Person_0\t1\t2\nPerson_1\t1\t2\n")
    for command in (["run", "smoke", "--out", str(tmp_path / "run")], ["evaluate", str(user.checkpoint)]):
        arguments = [*user.arguments(*command, "--device", "cpu"), "--test-pairs", "same.txt"]
        assert str(user.data / "same.txt") in refusal(capsys, arguments)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("arguments", [[], ["--resume"], ["--threads", "2"]], ids=" ".join)
def test_default_command_trains_experiment_2(arguments: list[str], tmp_path: Path) -> None:
    options = _parser().parse_args([*_with_default(arguments), "--data", str(tmp_path)])
    assert options.command == commands.run
    assert options.experiment == "experiment-2"
    assert options.resume is ("--resume" in arguments)
    assert (options.train_pairs, options.test_pairs, options.images) == (
        "pairsDevTrain.txt", "pairsDevTest.txt", "lfw-deepfunneled",
    )  # fmt: skip


def test_environment_variable_names_the_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACEPAIR_LFW", str(tmp_path))
    assert _parser().parse_args(_with_default([])).data == tmp_path
    monkeypatch.delenv("FACEPAIR_LFW")
    assert _parser().parse_args(_with_default([])).data == Path("lfw")


def test_no_test_option_skips_the_test_pairs(user: User, tmp_path: Path) -> None:
    arguments = user.arguments("run", "smoke", "--no-test", "--device", "cpu", "--out", str(tmp_path / "run"))
    assert main(arguments) == 0
    assert {metric.split for metric in load(tmp_path / "run" / "smoke.safetensors").header.metrics} == {"validation"}
    assert not (tmp_path / "run" / "test-scores.csv").exists()


def test_seed_option_gives_another_run_another_name(user: User, tmp_path: Path) -> None:
    arguments = user.arguments("run", "smoke", "--seed", "1", "--device", "cpu", "--out", str(tmp_path / "run"))
    assert main(arguments) == 0
    header = load(tmp_path / "run" / "smoke-seed1.safetensors").header
    assert header.provenance.seed == 1
    assert header.embedding_sha256 != load(user.checkpoint).header.embedding_sha256


def test_changed_values_are_recorded_and_kept_to(
    user: User, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = user.arguments("run", "smoke", "--device", "cpu", "--out", str(tmp_path / "run"))
    assert main([*arguments, "--epochs", "1", "--augmentation.rotation-deg", "5"]) == 0
    name = "smoke-rotation_deg5.0-epochs1"
    header = load(tmp_path / "run" / f"{name}.safetensors").header
    recorded = header.provenance.changes
    assert recorded
    changes = {each.field: (each.named, each.value) for each in recorded.values}
    assert changes == {"augmentation.rotation_deg": ("15.0", "5.0"), "epochs": ("2", "1")}
    assert recorded.experiment == "smoke"
    with safe_open(tmp_path / "run" / "state.safetensors", "np") as state:
        run = json.loads(state.metadata()["facepair-run"])["run"]
    assert [each["field"] for each in run["changes"]["values"]] == list(changes)
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert len(result["provenance"]["changes"]["values"]) == 2
    assert (
        "smoke with augmentation.rotation_deg 5.0 (not 15.0), epochs 1 (not 2)"
        in (tmp_path / "run" / f"{name}.md").read_text()
    )
    line = refusal(capsys, [*arguments, "--resume", "--epochs", "2", "--augmentation.rotation-deg", "5"])
    assert "belongs to another run (epochs differ)" in line
    assert "give the values that it began with: epochs 1" in line
    assert load(user.checkpoint).header.provenance.changes is None


def test_a_run_starts_from_a_checkpoint(user: User, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = user.arguments("run", "smoke", "--device", "cpu", "--no-test", "--out", str(tmp_path / "run"))
    start = ["--start-from", str(user.checkpoint), "--epochs", "1"]
    line = refusal(capsys, [*arguments, *start, "--network.dimension", "16"])
    assert line.endswith("has another network than smoke: dimension 32 instead of 16; take one that fits")
    assert main([*arguments, *start, "--freeze", "stage1", "stage2"]) == 0
    assert f"starts from {user.checkpoint}\n" in capsys.readouterr().out
    before = load(user.checkpoint)
    after = load(tmp_path / "run" / "smoke-epochs1-from-smoke-freeze_stage1_stage2.safetensors")
    kept = {name for name in after.tensors if np.array_equal(before.tensors[name], after.tensors[name])}
    assert {"twin.0.weight", "twin.1.running_mean", "twin.4.weight"} <= kept
    assert "twin.8.weight" not in kept
    assert before.header.embedding_sha256 in after.header.provenance.experiment
    assert "(start, freeze differ)" in refusal(capsys, [*arguments, "--resume", "--epochs", "1"])


def test_skip_missing_leaves_out_pairs(user: User, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """One picture of a pair is enough, be it the left one or the right one."""
    whole = (user.data / "test.txt").read_text().splitlines()[1:]
    count = len(whole) // 2
    same = [*whole[:count], "Person_0\t1\t99", "Person_0\t99\t2"]
    different = [*whole[count:], "Person_0\t1\tNobody\t1", "Nobody\t1\tPerson_0\t2"]
    listed = tmp_path / "pairs.txt"
    listed.write_text("\n".join([str(count + 2), *same, *different]) + "\n")
    arguments = [*user.arguments("evaluate", str(user.checkpoint), "--device", "cpu"), "--test-pairs", str(listed)]
    assert "there is no picture" in refusal(capsys, arguments)
    assert main([*arguments, "--skip-missing"]) == 0
    shown = capsys.readouterr().out
    assert f"4 of {2 * count + 4} pairs left out" in shown
    assert f"n={2 * count}" in shown


def test_gallery_is_written_to_the_named_file(user: User, tmp_path: Path) -> None:
    assert main(user.arguments("gallery", str(user.out), "--out", str(tmp_path / "mine.html"))) == 0
    assert (tmp_path / "mine.html").read_text().startswith("<!doctype html>")


def test_grid_with_only_runs_named_trajectories(
    user: User, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = replace(GRID_BASE, network=NARROW, preprocessing=PreprocessingConfig(side_px=SIDE_PX), precision="float32")
    plan = replace(TINY_GRID, base=small)
    monkeypatch.setattr(grid, "Grid", lambda: plan)
    wanted = plan.trajectories()[1].name
    out = tmp_path / "grid"
    assert main([*user.arguments("grid", "--out", str(out)), "--device", "cpu", "--only", wanted]) == 0
    assert [path.name for path in out.iterdir()] == [wanted]
    assert "4 of 16 points are known" in capsys.readouterr().out
    line = refusal(capsys, [*user.arguments("grid", "--out", str(out)), "--only", "none"])
    assert line.startswith("error: unknown trajectory 'none'; use one of ")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_command_ends_quietly_when_nothing_reads_what_it_prints(user: User, unbuffered: str) -> None:
    for arguments, status in ((["card", str(user.checkpoint)], 141), (["runs", "compare", "none", str(user.out)], 1)):
        reader, writer = os.pipe()
        os.close(reader)
        command = [sys.executable, "-m", "training", *arguments]
        environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
        with os.fdopen(writer, "w") as closed:
            done = subprocess.run(
                command, stdout=closed, stderr=subprocess.PIPE, env=environment, text=True, check=False
            )
        assert done.returncode == status
        assert len(done.stderr.splitlines()) == (0 if status == 141 else 1)
