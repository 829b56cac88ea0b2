"""Two processes that train together give the same as one process with the same global batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from training.__main__ import main

PATIENCE_S = 600
SCRIPT = """
import sys
from dataclasses import asdict, replace
import json, torch
from pathlib import Path
from training.learning import parallel
from training.data.album import Album
from training.learning.loop import run_epoch
from training.learning.experiments import SMOKE
from training.data.datasets import PairData
from training.data.album import PairSet

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)  # Adam blows float32's rounding up where a gradient is all but zero
draws = torch.Generator().manual_seed(0)
pixels = torch.randint(0, 256, (16, 105, 105), generator=draws, dtype=torch.uint8)
left, right = torch.randint(0, 16, (2, 23), generator=draws)
pairs = PairSet(left=left, right=right, same=torch.randint(0, 2, (23,), generator=draws).double())
data = PairData(album=Album(keys=[], pixels=pixels, sha256=""), training=pairs, validation=pairs)
network = SMOKE.network.model_copy(update={"batch_norm": False})
experiment = replace(SMOKE, network=network, batch_pairs=8, weight_decay=1e-4)
device = torch.device("cpu")
with parallel.process_group(device):
    recipe = experiment.recipe(data, device)
    recipe.network.twin.register_forward_pre_hook(lambda _, images: (images[0].double(),))
    rows = [asdict(run_epoch(experiment, recipe, number, device)) for number in (1, 2, 3)]
    weights = {name: tensor.flatten().tolist() for name, tensor in recipe.network.state_dict().items()}
    if parallel.rank() == 0:
        Path(sys.argv[1]).write_text(json.dumps({"rows": rows, "weights": weights}))
"""
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("WORLD_SIZE", "RANK", "LOCAL_RANK")}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def launch(command: list[str]) -> None:
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr


def test_two_processes_without_normalisation_equal_one(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    ENVIRONMENT["PYTHONPATH"] = str(Path(__file__).parents[3])
    launch([sys.executable, str(script), str(tmp_path / "one")])
    launch([*TORCHRUN, str(script), str(tmp_path / "two")])
    one, two = (json.loads((tmp_path / name).read_text()) for name in ("one", "two"))
    for ours, theirs in zip(one["rows"], two["rows"], strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], abs=1e-7)
        assert ours["train_accuracy"] == theirs["train_accuracy"]
        assert ours["validation_loss"] == pytest.approx(theirs["validation_loss"], abs=1e-5)
    for name, values in one["weights"].items():
        np.testing.assert_allclose(values, two["weights"][name], atol=1e-5, err_msg=name)
    assert one["rows"][0]["train_loss"] != one["rows"][2]["train_loss"]


TOGETHER = """
import json, sys
from pathlib import Path
import torch
from model.errors import TrainingError
from training.learning import parallel

calls = []
with parallel.process_group(torch.device("cpu")):
    rank = parallel.rank()
    value = parallel.from_first(lambda: calls.append(rank) or {"from": rank, "tensor": torch.full((2,), rank)})
    try:
        parallel.require_share_of(17, 16)
        refused = ""
    except TrainingError as error:
        refused = str(error)
    parallel.require_share_of(18, 16)
    parallel.require_share_of(16, 16)
    found = {"calls": calls, "from": value["from"], "tensor": value["tensor"].tolist(), "refused": refused}
    Path(sys.argv[1], str(rank)).write_text(json.dumps(found))
"""


def test_first_process_reads_and_empty_shares_are_refused(tmp_path: Path) -> None:
    """All processes resume from the same state, even on machines that share no disk."""
    script = tmp_path / "script.py"
    script.write_text(TOGETHER)
    ENVIRONMENT["PYTHONPATH"] = str(Path(__file__).parents[3])
    launch([*TORCHRUN, str(script), str(tmp_path)])
    for rank in (0, 1):
        found = json.loads((tmp_path / str(rank)).read_text())
        assert found["calls"] == ([0] if rank == 0 else [])
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
    options = ["-m", "training", "run", "smoke", "--data", str(people), "--images", "people", "--threads", "1"]
    options += ["--train-pairs", "train.txt", "--test-pairs", "test.txt", "--cache", str(tmp_path / "cache")]
    launch([*TORCHRUN, *options, "--out", str(tmp_path / "two")])
    launch([sys.executable, *options, "--out", str(tmp_path / "one")])
    names = [sorted(path.name for path in (tmp_path / run).iterdir()) for run in ("one", "two")]
    assert names[0] == names[1]
    results = [json.loads((tmp_path / run / "result.json").read_text()) for run in ("one", "two")]
    losses = [[m["value"] for m in result["metrics"] if m["name"] == "cross-entropy"] for result in results]
    assert losses[0] == pytest.approx(losses[1], abs=0.01)
