"""The state of a run after an epoch, in one safetensors file. A run resumed from it ends with the same weights.

Random generators are not saved: every epoch seeds its own from the run's seed and the epoch's number.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from model.errors import TrainingError
from model.files import replacing
from training.learning.history import Epoch, best_epoch

METADATA_KEY = "facepair-run"
# Values that follow from others, which an error names instead.
FOLLOWING = ("name", "changes")


@dataclass(kw_only=True)
class RunState:
    """A run's state after an epoch. `best` has the weights with the lowest validation loss, if the run keeps them.

    `code_version` is the code that the run began with, and `resumed_with` the code that went on with it, if that was
    another. `torch_versions` trained it. Both are in the order of use.
    """

    weights: dict[str, Tensor] = field(default_factory=dict)
    optimizer: dict[str, Tensor] = field(default_factory=dict)
    code_version: str = ""
    best: dict[str, Tensor] = field(default_factory=dict)
    history: list[Epoch] = field(default_factory=list)
    torch_versions: list[str] = field(default_factory=list)
    resumed_with: list[str] = field(default_factory=list)

    def add_epoch(self, row: Epoch, module: nn.Module, optimizer: torch.optim.Optimizer, *, keep_best: bool) -> None:
        """Records the end of an epoch. The best weights are copied, since further steps change the module in place."""
        self.history.append(row)
        self.weights = module.state_dict()
        self.optimizer = flatten_optimizer(optimizer)
        if keep_best and best_epoch(self.history) == row.epoch:
            self.best = {name: tensor.clone() for name, tensor in self.weights.items()}

    def restore(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Restores both as they were after the last epoch. Does nothing before the first."""
        if self.history:
            module.load_state_dict(self.weights)
            restore_optimizer(optimizer, self.optimizer)

    def save(self, path: Path, run: Mapping[str, Any]) -> None:
        """Writes the state of the run with the identity `run`, atomically. Raises TrainingError if it cannot."""
        tensors = {
            f"{part}/{name}": tensor.contiguous()
            for part, group in (("weights", self.weights), ("optimizer", self.optimizer), ("best", self.best))
            for name, tensor in group.items()
        }
        rows = [asdict(row) for row in self.history]
        versions = {"code_version": self.code_version, "resumed_with": self.resumed_with, "torch": self.torch_versions}
        header = {"run": run, **versions, "history": rows}
        try:
            with replacing(path) as partial:
                save_file(tensors, partial, metadata={METADATA_KEY: json.dumps(header)})
                partial.chmod(0o644)  # safetensors writes private files; the run may be resumed by another user
        except (OSError, SafetensorError) as error:
            raise TrainingError(f"{path}: cannot be saved; the previous epoch is kept: {error}") from error

    @classmethod
    def load(cls, path: Path, run: Mapping[str, Any]) -> Self:
        """Reads the state of the run with that identity. Raises TrainingError if it is damaged or another run's."""
        try:
            with safe_open(path, framework="pt") as file:
                header = json.loads(file.metadata()[METADATA_KEY])
                code_version = str(header["code_version"])
                versions = [str(version) for version in header.get("torch", ())]
                resumed_with = [str(version) for version in header.get("resumed_with", ())]
                found, history = dict(header["run"]), [Epoch(**row) for row in header["history"]]
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 (no mapping)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise TrainingError(f"{path}: cannot be read as the state of a run: {error}") from error
        _require_same(path, found, run)
        weights, optimizer, best = (_part(tensors, part) for part in ("weights", "optimizer", "best"))
        return cls(
            weights=weights,
            optimizer=optimizer,
            code_version=code_version,
            best=best,
            history=history,
            torch_versions=versions,
            resumed_with=resumed_with,
        )


def flatten_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state as tensors named `PARAMETER_INDEX.NAME`."""
    states: Mapping[int, Mapping[str, Tensor]] = optimizer.state_dict()["state"]
    return {f"{index}.{name}": tensor for index, state in states.items() for name, tensor in state.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `flatten_optimizer`; the parameter groups keep their settings."""
    states: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        states.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})


def _require_same(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    # Values at their defaults are left out on either side.
    differing = [key for key in {**wanted, **found} if found.get(key) != wanted.get(key)]
    named = [key for key in differing if key not in FOLLOWING] or differing
    if named == ["threads"]:
        raise TrainingError(f"{path}: the run began with {found['threads']} threads; add --threads {found['threads']}")
    if named:
        began = ", ".join(f"{key} {found[key]}" for key in named if isinstance(found.get(key), int | float | str))
        raise TrainingError(
            f"{path}: belongs to another run ({', '.join(named)} differ); choose another --out"
            + (f", or give the values that it began with: {began}" if began and "data_sha256" not in named else "")
        )


def _part(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{part}/"): tensor for name, tensor in tensors.items() if name.startswith(f"{part}/")}
