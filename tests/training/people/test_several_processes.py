"""Several processes that learn from people: the gradients and losses of one process, and what happens if one dies."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from model.errors import TrainingError
from tests.training.support.joint_people import JOINT, TAUGHT, compare, noise_data
from tests.training.support.people_command import KILL, SHARDED
from tests.training.support.small_pairs import CPU
from tests.training.support.small_people import draw_people
from tests.training.support.torchrun import torchrun
from training.learning import parallel, shares
from training.learning.history import read_metrics
from training.learning.shares import Shares
from training.people.people_recipe import PeopleRecipe

# Of the largest value of a tensor. In double precision, the processes' rounding alone differs.
TOLERANCE = 1e-12


def differences(expected: dict[str, Tensor], found: dict[str, Tensor]) -> dict[str, float]:
    """The largest difference of each tensor, as a share of its largest value."""
    assert expected.keys() == found.keys()
    return {
        name: float((found[name] - tensor).abs().max() / tensor.abs().max().clamp_min(1e-9))
        for name, tensor in expected.items()
    }


@pytest.fixture(scope="module")
def joint(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("joint")
    done = torchrun(2, "-m", "tests.training.support.joint_people", str(folder))
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / str(rank)) for rank in (0, 1)]


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    whole = compare(JOINT)
    return {"whole": whole, "sharded": whole, "taught": compare(TAUGHT)}


@pytest.mark.parametrize("kind", ["whole", "sharded", "taught"])
def test_two_processes_without_normalisation_equal_one(
    joint: list[dict[str, Any]], alone: dict[str, dict[str, Any]], kind: str
) -> None:
    first, second = (found[kind] for found in joint)
    expected = alone[kind]
    # Adam's steps would hide gradients that are a multiple.
    assert max(differences(expected["gradients"], first["gradients"]).values()) < TOLERANCE
    for ours, theirs in zip(expected["rows"], first["rows"], strict=True):
        for name in ("train_loss", "train_accuracy", "validation_loss"):
            assert theirs[name] == pytest.approx(ours[name], rel=TOLERANCE), name
    assert first["rows"][0]["train_loss"] > first["rows"][2]["train_loss"]
    assert max(differences(expected["state"], first["state"]).values()) < TOLERANCE
    networks = [name for name in first["state"] if not name.startswith("classifiers")]
    assert all(torch.equal(first["state"][name], second["state"][name]) for name in networks)


def test_teachers_change_the_gradients(alone: dict[str, dict[str, Any]]) -> None:
    changed = differences(alone["whole"]["gradients"], alone["taught"]["gradients"])
    of_network = [change for name, change in changed.items() if name.startswith("network")]
    of_classifiers = [change for name, change in changed.items() if name.startswith("classifiers")]
    assert min(of_network) > 1e-3
    assert max(of_classifiers) < TOLERANCE


def test_a_shard_has_a_part_of_the_people(joint: list[dict[str, Any]]) -> None:
    """The first process collects all ten, the second keeps its five."""
    for kind, people in (("whole", (10, 10)), ("sharded", (10, 5))):
        assert tuple(len(found[kind]["state"]["classifiers.0.weight"]) for found in joint) == people


@pytest.mark.parametrize("processes", [2, 3, 5])
def test_processes_make_together_the_batches_of_one(monkeypatch: pytest.MonkeyPatch, processes: int) -> None:
    whole = list(JOINT.recipe(noise_data(), CPU).batches(1))
    monkeypatch.setattr(parallel, "wrap", lambda module, *_: module)
    places, judged = [], 0
    for number in range(processes):
        for module in (parallel, shares):
            monkeypatch.setattr(module, "world_size", lambda: processes)
            monkeypatch.setattr(module, "rank", lambda number=number: number)
        recipe = JOINT.recipe(noise_data(), CPU)
        places.append(recipe.shares.mine)
        for batch, of_all in zip(recipe.batches(1), whole, strict=True):
            assert torch.equal(batch.labels, of_all.labels)
            assert torch.allclose(batch.images, of_all.images[recipe.shares.mine], atol=1e-5)
            assert batch.judged == int((recipe.shares.mine < of_all.judged).sum()) > 0
        judged += batch.judged
    assert torch.cat(places).sort().values.tolist() == list(range(len(whole[0].images)))
    assert max(map(len, places)) - min(map(len, places)) <= JOINT.pictures
    assert judged == whole[0].judged


def test_too_many_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "world_size", lambda: 6)
    with pytest.raises(TrainingError, match="5 people with several pictures in a batch are too few for 6 processes"):
        JOINT.recipe(noise_data(), CPU)


def test_classifiers_of_few_people_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten people have several pictures."""
    monkeypatch.setattr(parallel, "wrap", lambda module, *_: module)
    for module in (parallel, shares):
        monkeypatch.setattr(module, "world_size", lambda: 2)
    monkeypatch.setattr(parallel, "rank", lambda: 0)
    for limit, people in ((10, 10), (9, 5)):
        recipe = replace(JOINT, shard_above=limit).recipe(noise_data(), CPU)
        assert isinstance(recipe, PeopleRecipe)
        assert [len(weight) for weight in recipe.state.classifiers.parameters()] == [people, people]


def test_rows_of_unequal_shares_are_in_the_order_of_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.arange(14.0)[:, None]
    monkeypatch.setattr(shares, "world_size", lambda: 3)
    dealt = Shares.dealt(14, 4)
    assert [len(places) for places in dealt.places] == [6, 4, 4]
    padded = torch.zeros(3 * 6, 1)
    for number, places in enumerate(dealt.places):
        padded[6 * number : 6 * number + len(places)] = rows[places]
    monkeypatch.setattr(shares._Gather, "apply", lambda _: padded)
    monkeypatch.setattr(shares, "rank", lambda: 1)
    assert torch.equal(dealt.gather(rows[dealt.mine]), rows)


def test_a_killed_process_ends_the_run_which_can_be_resumed(tmp_path: Path) -> None:
    """Of three processes, since their rounding depends on the order of what is added, and that of two does not."""
    data, out = draw_people(tmp_path / "data"), tmp_path / "killed"
    options = f"--data {data} --images people --train-people people.txt --cache {data / 'cache'} --no-test --out {out}"
    command = ["-m", "tests.training.support.people_command", "run", SHARDED.name, "--device", "cpu", "--threads", "1"]
    # Two steps are to say how long the run takes, two are the first epoch.
    ended = torchrun(3, *command, *options.split(), **{KILL: "1:6"})
    assert ended.returncode == 1
    assert re.findall(r"^error: .*", ended.stderr, re.MULTILINE) == [f"error: {parallel.ENDED}"]
    assert sorted(path.name for path in out.iterdir()) == ["curves.png", "metrics.jsonl", "state.safetensors"]
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(out).encode() in read(path)]
    assert len(read_metrics(out / "metrics.jsonl")) == 1

    done = torchrun(3, "-m", "tests.training.support.resumed_people", str(data), str(tmp_path))
    assert done.returncode == 0, done.stderr
    killed, whole = (load_file(tmp_path / name / "state.safetensors") for name in ("killed", "whole"))
    assert killed.keys() == whole.keys()
    assert all(torch.equal(killed[name], whole[name]) for name in whole)
    rows = [read_metrics(tmp_path / name / "metrics.jsonl") for name in ("killed", "whole")]
    assert [row.train_loss for row in rows[0]] == [row.train_loss for row in rows[1]]
    assert len(rows[0]) == SHARDED.epochs


def read(path: Path) -> bytes:
    """The bytes of a file of a process, which may have ended."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
