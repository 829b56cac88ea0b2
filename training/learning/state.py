"""The state of a run after an epoch, in one safetensors file: enough to go on as if nothing had happened.

Random numbers need no state: every epoch seeds its generators anew from the run's seed and the epoch's number.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from model.errors import TrainingError
from model.files import replacing
from training.learning import parallel
from training.learning.experiments import AnyExperiment

METADATA_KEY = "facepair-run"


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One row of the metrics file. Training figures are means over the epoch's batches, as they were trained.

    Of a run that learns from people, `train_accuracy` is the classifier's, and validation figures are those of cosines
    calibrated on the validation pairs themselves.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_bce: float
    validation_mse: float
    validation_accuracy: float
    seconds: float
    images_per_s: float
    validation_best_accuracy: float | None = None
    validation_area: float | None = None


@dataclass(kw_only=True)
class RunState:
    """What a run remembers.

    `best` has the weights of lowest validation loss, where they are kept; `code_version` is the code it began with.
    """

    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    code_version: str = ""
    best: dict[str, Tensor] = field(default_factory=dict)
    history: list[Epoch] = field(default_factory=list)


def best_epoch(history: list[Epoch]) -> int:
    """The first epoch of lowest validation loss; 0 before the first."""
    return min(history, key=lambda row: row.validation_loss).epoch if history else 0


def save_state(path: Path, state: RunState, experiment: AnyExperiment, data_sha256: str) -> None:
    """Writes the state atomically: whatever happens, the file holds this epoch or the one before."""
    tensors = {
        f"{part}/{name}": tensor.contiguous()
        for part, group in (("weights", state.weights), ("optimizer", state.optimizer), ("best", state.best))
        for name, tensor in group.items()
    }
    header = {
        "run": identity(experiment, data_sha256),
        "code_version": state.code_version,
        "history": [asdict(row) for row in state.history],
    }
    try:
        with replacing(path) as partial:
            save_file(tensors, partial, metadata={METADATA_KEY: json.dumps(header)})
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"{path}: cannot be saved, the epoch before is kept: {error}") from error


def load_state(path: Path, experiment: AnyExperiment, data_sha256: str) -> RunState:
    """Reads a state. Raises TrainingError if it cannot be read or belongs to another run."""
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()[METADATA_KEY])
            code_version = str(header["code_version"])
            found, history = dict(header["run"]), [Epoch(**row) for row in header["history"]]
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"{path}: cannot be read as the state of a run: {error}") from error
    wanted = identity(experiment, data_sha256)
    differing = [key for key in wanted if found.get(key) != wanted[key]]
    if differing == ["threads"]:
        raise TrainingError(f"{path}: was begun with {found['threads']} threads; add --threads {found['threads']}")
    if differing:
        raise TrainingError(
            f"{path}: is the state of another run ({', '.join(differing)} differ); choose another --out"
        )
    return RunState(
        weights=_part(tensors, "weights"),
        optimizer=_part(tensors, "optimizer"),
        code_version=code_version,
        best=_part(tensors, "best"),
        history=history,
    )


def identity(experiment: AnyExperiment, data_sha256: str) -> dict[str, Any]:
    """What must be equal for a run to be the same run, as plain JSON values."""
    values = {
        **asdict(experiment),
        "data_sha256": data_sha256,
        "threads": torch.get_num_threads(),
        "processes": parallel.world_size(),
    }
    values["network"] = experiment.network.model_dump()
    values["preprocessing"] = experiment.preprocessing.model_dump()
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain


def flatten_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimizer's moments as named tensors: `INDEX.NAME`."""
    states: Mapping[int, Mapping[str, Tensor]] = optimizer.state_dict()["state"]
    return {f"{index}.{name}": tensor for index, state in states.items() for name, tensor in state.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `flatten_optimizer`; the groups' settings stay as they are."""
    states: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        states.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})


def _part(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{part}/"): tensor for name, tensor in tensors.items() if name.startswith(f"{part}/")}
