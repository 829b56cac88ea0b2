"""View 2 in small: three folds of drawn people, each scored by a network that saw only the other two."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.errors import DataError, TrainingError
from tests.drawing import encode, portrait
from tests.training.support.small_people import SMALL_PEOPLE
from training.__main__ import main
from training.commands import view2 as view2_command
from training.commands.view2 import FoldRun
from training.data.datasets import HoldOut
from training.data.lists import Folds, read_folds
from training.data.preparation import open_album
from training.learning import loop
from training.learning.experiments import PEOPLE_EXPERIMENTS
from training.learning.loop import Trained, train
from training.people.people_recipe import PeopleExperiment
from training.runs.records import View2
from training.runs.results import VIEW2_FILE, read_run

FOLDS, PEOPLE, PICTURES = 3, 4, 3
RUN = replace(SMALL_PEOPLE, name="small-view2", held_out=HoldOut(fraction=0.4), people=3, epochs=1)


def name_of(fold: int, person: int) -> str:
    return f"Fold{fold}_{person}"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the pictures and both lists."""
    folder = tmp_path_factory.mktemp("view2")
    people, pairs = [str(FOLDS)], [f"{FOLDS}\t{PEOPLE}"]
    for fold in range(1, FOLDS + 1):
        names = [name_of(fold, person) for person in range(PEOPLE)]
        people += [str(PEOPLE), *(f"{name}\t{PICTURES}" for name in names)]
        pairs += [f"{name}\t1\t{1 + fold % 2 + 1}" for name in names]
        pairs += [f"{name}\t1\t{names[(i + 1) % PEOPLE]}\t2" for i, name in enumerate(names)]
        for number, name in enumerate(names):
            (folder / "people" / name).mkdir(parents=True)
            for picture in range(1, PICTURES + 1):
                path = folder / "people" / name / f"{name}_{picture:04d}.png"
                path.write_bytes(encode(portrait(10 * fold + number, picture)))
    (folder / "people.txt").write_text("\n".join(people) + "\n")
    (folder / "pairs.txt").write_text("\n".join(pairs) + "\n")
    return folder


@pytest.fixture
def folds(data: Path) -> Folds:
    return read_folds(data / "people.txt", data / "pairs.txt")


@pytest.fixture
def arguments(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command on the small experiment; results go to `tmp_path / "out"`."""
    monkeypatch.setitem(PEOPLE_EXPERIMENTS, RUN.name, RUN)
    return ["view2", RUN.name, "--data", str(data), "--images", "people", "--cache", str(tmp_path / "cache"),
            "--device", "cpu", "--out", str(tmp_path / "out")]  # fmt: skip


def test_the_lists_are_read_by_folds(folds: Folds) -> None:
    assert list(folds.numbers) == [1, 2, 3]
    for fold, people in enumerate(folds.people, 1):
        assert people == {name_of(fold, person): PICTURES for person in range(PEOPLE)}
        pairs = folds.pairs[fold - 1]
        assert [pair.same for pair in pairs] == [True] * PEOPLE + [False] * PEOPLE
        assert {name for pair in pairs for name in (pair.left[0], pair.right[0])} == people.keys()


def test_network_of_a_fold_learns_from_other_folds_people(folds: Folds, data: Path, tmp_path: Path) -> None:
    album = open_album(data / "people", tmp_path / "cache", RUN.preprocessing)
    for number in folds.numbers:
        found = FoldRun.of(number, RUN, folds, album, tmp_path).data
        others = {name for fold, people in enumerate(folds.people, 1) if fold != number for name in people}
        assert found.training.keys() | found.held_out.keys() == others
        assert not found.training.keys() & found.held_out.keys()
        validated = {album.keys[i][0] for i in (*found.validation.left.tolist(), *found.validation.right.tolist())}
        assert validated <= found.held_out.keys()


def test_pictures_without_a_face_are_named(folds: Folds, data: Path, tmp_path: Path) -> None:
    album = open_album(data / "people", tmp_path / "cache", RUN.preprocessing)
    pair = folds.pairs[0][0]
    gone = album.index()[pair.left]
    keys = [key for key in album.keys if key != pair.left]
    pixels = torch.cat([album.pixels[:gone], album.pixels[gone + 1 :]])
    without = replace(album, keys=keys, pixels=pixels, faceless=[pair.left])
    one, other = (FoldRun.of(number, RUN, folds, without, tmp_path) for number in (1, 2))
    for ask in (one.test_pairs, lambda: other.data):
        with pytest.raises(DataError, match="no face large enough was found in " + "/".join(pair.left)):
            ask()


def test_folds_are_trained_in_turn(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--folds", "1", "3"]) == 0
    assert "over 2 of 3 folds; not done: 2" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["fold-01", "fold-03", VIEW2_FILE]
    results = [tmp_path / "out" / f"fold-{n:02d}" / "result.json" for n in (1, 3)]
    written = [path.stat().st_mtime_ns for path in results]
    assert main([*arguments, "--folds", "1"]) == 0
    assert main(arguments) == 0
    assert [path.stat().st_mtime_ns for path in results] == written
    found = View2.model_validate_json((tmp_path / "out" / VIEW2_FILE).read_bytes())
    shares = []
    for fold in found.done:
        run = read_run(tmp_path / "out" / f"fold-{fold.fold:02d}")
        assert all(f"Fold{fold.fold}_" in name for pair in run.pairs for name in pair)
        shares.append(float(((run.scores >= fold.threshold) == run.same).mean()))
        assert fold.accuracy == shares[-1]
    assert (len(shares), found.missing, found.category) == (3, (), "unrestricted, no outside data")
    assert found.mean == pytest.approx(np.mean(shares))
    assert found.standard_error == pytest.approx(np.std(shares, ddof=1) / 3**0.5)


@pytest.mark.usefixtures("tasks_here")
def test_folds_as_tasks_equal_serial_ones(arguments: list[str], tmp_path: Path) -> None:
    found = []
    for folder, further in ((tmp_path / "out", []), (tmp_path / "tasks", ["--ray", "--out", str(tmp_path / "tasks")])):
        assert main([*arguments, "--folds", "2", *further]) == 0
        done = View2.model_validate_json((folder / VIEW2_FILE).read_bytes()).done
        digest = read_run(folder / "fold-02").header.embedding_sha256
        found.append(([(fold.fold, fold.accuracy, fold.threshold) for fold in done], digest))
    assert found[0] == found[1]


def test_failed_fold_keeps_the_results_of_others(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main([*arguments, "--folds", "3"]) == 0

    def failing(experiment: PeopleExperiment, *rest: Any, **named: Any) -> Trained:
        if experiment.name.endswith("fold-02"):
            raise TrainingError("out of luck")
        return train(experiment, *rest, **named)

    monkeypatch.setattr(loop, "train", failing)
    assert main(arguments) == 1
    found = View2.model_validate_json((tmp_path / "out" / VIEW2_FILE).read_bytes())
    assert [fold.fold for fold in found.done] == [1, 3]


def test_interrupted_fold_is_resumed(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Interrupted after its training and before its test: nothing is trained again."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(view2_command, "finish", interrupted)
        assert main([*arguments, "--folds", "2"]) == 130
    assert "interrupted; the same command continues" in capsys.readouterr().err
    state = tmp_path / "out" / "fold-02" / "state.safetensors"
    before = state.read_bytes()
    assert main([*arguments, "--folds", "2"]) == 0
    assert state.read_bytes() == before
    assert "over 1 of 3 folds; not done: 1, 3" in capsys.readouterr().out


def test_folds_of_another_run_are_refused(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--folds", "1"]) == 0
    monkeypatch.setitem(PEOPLE_EXPERIMENTS, RUN.name, replace(RUN, temperature=0.2))
    assert main([*arguments, "--folds", "2"]) == 1
    assert "fold-01: holds the result of another run; choose another --out" in capsys.readouterr().err.splitlines()[-1]


def test_unknown_folds_and_pair_experiments_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--folds", "1", "4"]) == 1
    assert "has folds 1 to 3, not 4" in capsys.readouterr().err
    arguments[1] = "experiment-2"
    assert main(arguments) == 1
    assert "experiment-2: View 2 is for experiments that learn from people: experiment-5, " in capsys.readouterr().err


def test_pairs_with_people_of_another_fold_are_refused(data: Path, tmp_path: Path) -> None:
    text = (data / "pairs.txt").read_text().replace("Fold1_0\t1\tFold1_1", "Fold1_0\t1\tFold2_1")
    (tmp_path / "pairs.txt").write_text(text)
    with pytest.raises(DataError, match="Fold2_1 is not in fold 1"):
        read_folds(data / "people.txt", tmp_path / "pairs.txt")


@pytest.mark.parametrize("experiment", ["experiment-8", "experiment-9", "experiment-10", "experiment-12"])
def test_what_learns_from_checkpoints_that_know_the_folds_is_refused(
    experiment: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([experiment if each in PEOPLE_EXPERIMENTS else each for each in arguments]) == 1
    assert f"error: {experiment}: learns from checkpoints that know people of every fold" in capsys.readouterr().err
