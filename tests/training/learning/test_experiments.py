"""The experiments have the documented values and refuse invalid ones."""

import hashlib
import json
from dataclasses import FrozenInstanceError, asdict, replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from app.settings import SHIPPED
from model.checkpoint import load
from model.errors import TrainingError
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.configurations import NetworkConfig
from training.learning.catalogue import CATALOGUE
from training.learning.experiments import EXPERIMENTS, PAIR_EXPERIMENTS, SERVED, find_experiment
from training.learning.loop import train
from training.learning.precision import with_precision
from training.pairs import Augmentation, PairExperiment

ROOT = Path(__file__).parents[3]
FULL = ("experiment-1", "experiment-2", "experiment-3", "experiment-4")
COMMON = {"epochs": 20, "batch_pairs": 128, "learning_rate": 1e-4, "validation_fraction": 0.2, "split_seed": 0}
PLAIN = {"weight_decay": 0.0, "decay_every_epochs": None, "patience_epochs": None, "keep": "last"}
CHANGES = {"flip_probability": 0.5, "rotation_deg": 15.0, "brightness": 0.2, "contrast": 0.2}
STEPS = {"decay_every_epochs": 5, "decay_factor": 0.1}

DECIDED: dict[str, dict[str, Any]] = {
    "experiment-1": {**COMMON, **PLAIN, "augmentation": None, "loss": "bce"},
    "experiment-2": {**COMMON, **PLAIN, "augmentation": CHANGES, "loss": "bce"},
    "experiment-3": {**COMMON, **PLAIN, **STEPS, "augmentation": CHANGES, "loss": "bce", "weight_decay": 1e-4},
    "experiment-4": {**COMMON, **PLAIN, **STEPS, "augmentation": CHANGES, "loss": "mse", "patience_epochs": 5,
                     "keep": "best"},
}  # fmt: skip
NETWORKS = {
    "experiment-1": {"batch_norm": False, "embedding_activation": "sigmoid", "dropout": 0.0},
    "experiment-2": {"batch_norm": True, "embedding_activation": "relu", "dropout": 0.0},
    "experiment-3": {"batch_norm": True, "embedding_activation": "relu", "dropout": 0.5},
    "experiment-4": {"batch_norm": True, "embedding_activation": "relu", "dropout": 0.0},
}
WIDTHS = {"side_px": 105, "channels": (64, 128, 128, 256), "dimension": 4096}


@pytest.mark.parametrize("name", FULL)
def test_experiment_has_the_documented_values(name: str) -> None:
    experiment = find_experiment(name)
    assert experiment.name == name
    assert asdict(experiment) == {**asdict(experiment), **DECIDED[name]}
    assert experiment.network.model_dump() == {**NETWORKS[name], **WIDTHS}
    assert experiment.preprocessing == PreprocessingConfig(side_px=105, mean=0.5, std=0.5)


def test_experiments_share_one_split() -> None:
    experiments = [PAIR_EXPERIMENTS[name] for name in FULL]
    assert len({(experiment.split_seed, experiment.validation_fraction) for experiment in experiments}) == 1


def test_the_network_of_the_served_experiment_is_the_service_s_default() -> None:
    assert SHIPPED.stem == SERVED.name
    assert [name for name, entry in CATALOGUE.items() if "the default network" in entry.what] == [SERVED.name]


def test_experiments_are_found_by_name() -> None:
    kinds = ("", "-unaligned", "-colour", "-grey", "-grey-unaligned", "-one-view", "-short", "-short-smooth")
    from_people = {f"experiment-5{kind}" for kind in kinds}
    others = {
        "experiment-6",
        "experiment-7",
        "experiment-8",
        "experiment-9",
        "experiment-10",
        "experiment-12",
        "experiment-2-aligned",
        "grid-winner",
        "grid-best",
        "smoke",
    }
    assert set(EXPERIMENTS) == {*FULL, *from_people, *others}
    assert all(EXPERIMENTS[name].name == name for name in EXPERIMENTS)
    with pytest.raises(TrainingError, match="unknown experiment 'experiment-0'; use one of experiment-1, "):
        find_experiment("experiment-0")


@pytest.mark.parametrize("name", FULL)
def test_experiment_is_immutable(name: str) -> None:
    with pytest.raises(FrozenInstanceError):
        find_experiment(name).epochs = 1
    with pytest.raises(FrozenInstanceError):
        Augmentation().rotation_deg = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_pairs": 0},
        {"learning_rate": 0.0},
        {"learning_rate": -1e-4},
        {"decay_every_epochs": 0},
        {"patience_epochs": 0},
        {"validation_fraction": 0.0},
        {"validation_fraction": 1.0},
        {"network": NetworkConfig(batch_norm=True, embedding_activation="relu", side_px=97)},
    ],
)
def test_invalid_values_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match=r"^experiment-2: "):
        replace(find_experiment("experiment-2"), **wrong)


def steps(experiment: PairExperiment) -> list[float]:
    """The rates that torch's own scheduler gives."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], experiment.learning_rate)
    every = experiment.decay_every_epochs or experiment.epochs + 1
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, every, experiment.decay_factor)
    rates = []
    for _ in range(experiment.epochs):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("name", FULL)
def test_learning_rate_equals_step_lr(name: str) -> None:
    experiment = PAIR_EXPERIMENTS[name]
    rates = [experiment.learning_rate_at(3 * epoch, 3) for epoch in range(20)]
    assert rates == [experiment.learning_rate_at(3 * epoch + 2, 3) for epoch in range(20)]
    assert rates == pytest.approx(steps(experiment), rel=1e-12)
    assert len(set(rates)) == (4 if experiment.decay_every_epochs else 1)


def test_grid_winner_has_the_values_of_the_reference() -> None:
    found = PAIR_EXPERIMENTS["grid-winner"]
    assert (found.epochs, found.batch_pairs, found.learning_rate, found.patience_epochs) == (20, 64, 1e-4, 3)
    assert replace(found, name="experiment-4", batch_pairs=128, patience_epochs=5) == find_experiment("experiment-4")


@pytest.mark.parametrize(("name", "added_since"), [("experiment-2", '"precision": "float32", '), ("experiment-5", "")])
def test_json_equals_that_in_the_shipped_checkpoint(name: str, added_since: str) -> None:
    """View 2 compares it with that of finished folds."""
    shipped = load(ROOT / "weights" / f"{name}.safetensors").header.provenance.experiment
    assert find_experiment(name).as_json().replace(added_since, "") == shipped


@pytest.mark.parametrize(
    ("name", "sha256"),
    [
        ("experiment-2", "f99627bcb8f9805d5b6be91ac180bc01fda6b3680683ed3fc1bb38830983fc2f"),
        ("experiment-5", "a4fb08a6adf047db51cf45d5ebbcf772ccf63ab78ccb5726db5e1683e05ef16f"),
    ],
)
def test_identity_of_a_run_is_unchanged(name: str, sha256: str) -> None:
    """If it changed, runs in progress could not be resumed."""
    identity = {**find_experiment(name).identity("data"), "threads": 1}
    assert hashlib.sha256(json.dumps(identity).encode()).hexdigest() == sha256


def test_later_fields_are_part_of_a_run_only_if_they_are_used() -> None:
    before, after = find_experiment("experiment-5"), find_experiment("experiment-6")
    assert "nuisances" not in before.identity("")
    assert "nuisances" not in json.loads(before.as_json())
    assert json.loads(after.as_json())["nuisances"] == after.identity("")["nuisances"]
    assert after.identity("")["nuisances"]["probability"] == 0.5


@pytest.mark.parametrize(("instruction", "expected"), [("avx512_bf16", "bfloat16"), ("avx512_f", "float32")])
def test_an_open_precision_is_what_the_processor_multiplies_fast(
    instruction: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {instruction: True, "amx_bf16": False})
    experiment = with_precision(find_experiment("experiment-7"), torch.device("cpu"))
    assert experiment.precision == expected
    decided = find_experiment("experiment-5")
    assert with_precision(decided, torch.device("cpu")) is decided


def test_a_run_needs_a_decided_precision(tmp_path: Path) -> None:
    experiment: Any = find_experiment("experiment-7")
    with pytest.raises(ValueError, match="a run needs a precision"):
        train(experiment, cast(Any, None), tmp_path, torch.device("cpu"))
