"""Two processes that train together give the same as one process with the same global batch."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.training.support.joint_training import train_three_epochs
from tests.training.support.torchrun import torchrun
from training.__main__ import main


def test_two_processes_without_normalisation_equal_one(tmp_path: Path) -> None:
    done = torchrun(2, "-m", "tests.training.support.joint_training", str(tmp_path))
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((tmp_path / str(rank)).read_text()) for rank in (0, 1))
    alone = train_three_epochs()
    for ours, theirs in zip(alone["rows"], first["rows"], strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], abs=1e-7)
        assert ours["train_accuracy"] == theirs["train_accuracy"]
        assert ours["validation_loss"] == pytest.approx(theirs["validation_loss"], abs=1e-5)
    assert first["weights"] == second["weights"]
    for name, values in alone["weights"].items():
        np.testing.assert_allclose(values, first["weights"][name], atol=1e-5, err_msg=name)
    assert alone["rows"][0]["train_loss"] != alone["rows"][2]["train_loss"]

    # All processes resume from the same state, even on machines that share no disk.
    assert (first["calls"], second["calls"]) == ([0], [])
    for found in (first, second):
        assert (found["from"], found["tensor"]) == (0, [0, 0])
        assert found["refused"] == "the last batch has too few pairs (1) for 2 processes; start fewer processes"


@pytest.mark.parametrize("command", [["grid"], ["view2", "experiment-5"]])
def test_other_commands_refuse_several_processes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(command) == 1
    assert "without torchrun" in capsys.readouterr().err


def test_torchrun_writes_what_one_process_writes(people: Path, tmp_path: Path) -> None:
    options = ["run", "smoke", "--data", str(people), "--images", "people", "--threads", "1"]
    options += ["--train-pairs", "train.txt", "--test-pairs", "test.txt", "--cache", str(tmp_path / "cache")]
    done = torchrun(2, "-m", "training", *options, "--out", str(tmp_path / "two"))
    assert done.returncode == 0, done.stderr
    assert main([*options, "--out", str(tmp_path / "one")]) == 0
    names = [sorted(path.name for path in (tmp_path / run).iterdir()) for run in ("one", "two")]
    assert names[0] == names[1]
    results = [json.loads((tmp_path / run / "result.json").read_text()) for run in ("one", "two")]
    losses = [[m["value"] for m in result["metrics"] if m["name"] == "cross-entropy"] for result in results]
    assert losses[0] == pytest.approx(losses[1], abs=0.01)
