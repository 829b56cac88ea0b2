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
from training.learning.history import Epoch

METADATA_KEY = "facepair-run"


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


def save_state(path: Path, state: RunState, run: Mapping[str, Any]) -> None:
    """Writes the state of the run of that identity, atomically: the file always holds this epoch or the one before."""
    tensors = {
        f"{part}/{name}": tensor.contiguous()
        for part, group in (("weights", state.weights), ("optimizer", state.optimizer), ("best", state.best))
        for name, tensor in group.items()
    }
    header = {
        "run": run,
        "code_version": state.code_version,
        "history": [asdict(row) for row in state.history],
    }
    try:
        with replacing(path) as partial:
            save_file(tensors, partial, metadata={METADATA_KEY: json.dumps(header)})
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"{path}: cannot be saved, the epoch before is kept: {error}") from error


def load_state(path: Path, run: Mapping[str, Any]) -> RunState:
    """Reads the state of the run of that identity. Raises TrainingError if it cannot be read or is another run's."""
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()[METADATA_KEY])
            code_version = str(header["code_version"])
            found, history = dict(header["run"]), [Epoch(**row) for row in header["history"]]
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"{path}: cannot be read as the state of a run: {error}") from error
    differing = [key for key in run if found.get(key) != run[key]]
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
