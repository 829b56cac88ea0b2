"""Runs that begin with the tensors of a checkpoint, and stages of a network that do not learn."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from model.arrays import Tensors
from model.checkpoint import Checkpoint, Header, load
from model.errors import TrainingError
from model.networks.configurations import AnyNetworkConfig, ResidualConfig
from model.networks.face_network import FaceNetwork
from training.learning.experiment import Experiment, Recipe, Start

WEIGHTS = Path(__file__).parents[2] / "weights"
# The fields of a network's configuration that no learned tensor depends on.
WITHOUT_TENSORS = {
    "dropout", "flip_average", "head", "thumbnail_cells", "thumbnail_values", "gradient_values",
}  # fmt: skip
# The tensors of what is fitted after training.
FITTED = ("head.", "thumbnail.", "gradients.")


@dataclass(frozen=True, kw_only=True)
class StartingPoint:
    """A loaded checkpoint to begin with."""

    path: Path
    header: Header
    tensors: Tensors

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises CheckpointError."""
        found = load(path)
        return cls(path=path, header=found.header, tensors=found.tensors)

    @classmethod
    def shipped(cls, start: Start) -> Self:
        """The shipped checkpoint that an experiment of the catalogue begins with. Raises FacepairError."""
        found = shipped(start.checkpoint, start.embedding_sha256)
        return cls(path=shipped_path(start.checkpoint), header=found.header, tensors=found.tensors)

    @property
    def start(self) -> Start:
        return Start(checkpoint=self.header.name, embedding_sha256=self.header.embedding_sha256)

    def require_network_of(self, experiment: Experiment[Any]) -> None:
        """Raises TrainingError if the checkpoint has another network than the experiment."""
        found, wanted = self.header.network, experiment.network
        if type(found) is not type(wanted):
            raise TrainingError(
                f"{self.path}: has another kind of network than {experiment.name}; take one of its kind"
            )
        theirs, ours = map(_learned_values, (found, wanted))
        values = ", ".join(
            f"{name} {theirs[name]} instead of {ours[name]}" for name in ours if theirs[name] != ours[name]
        )
        if values:
            raise TrainingError(
                f"{self.path}: has another network than {experiment.name}: {values}; take one that fits"
            )

    def describe(self, experiment: Experiment[Any], data_sha256: str) -> str:
        """What the run begins with, in words, and whether it learned from other pictures than these."""
        if self.header.preprocessing != experiment.preprocessing:
            note = f", which learned from crops prepared otherwise than {experiment.name}'s"
        elif self.header.provenance.data_sha256 != data_sha256:
            note = ", which learned from other pictures; people that it knows must not be among those held out here"
        else:
            note = ""
        return f"starts from {self.path}{note}"

    def apply(self, recipe: Recipe) -> None:
        """Sets the network's weights in place. What is fitted after training is left out.

        What a checkpoint does not have, such as the classifiers of people, stays as it is.
        """
        for network in recipe.networks:
            current = network.state_dict()
            for name, array in self.tensors.items():
                if not name.startswith(FITTED):
                    current[name].copy_(torch.from_numpy(array))


def _learned_values(network: AnyNetworkConfig) -> dict[str, Any]:
    """The values of a configuration that learned tensors depend on."""
    values = network.model_dump(exclude=WITHOUT_TENSORS)
    if isinstance(network, ResidualConfig):
        values["tower_values"] = network.tower_values
        del values["dimension"]
    return values


def shipped_path(name: str) -> Path:
    """Where the checkpoint of an experiment is that later ones learn from."""
    return WEIGHTS / f"{name}.safetensors"


def shipped(name: str, embedding_sha256: str) -> Checkpoint:
    """That checkpoint. Raises CheckpointError, and TrainingError if it has other embeddings than these."""
    checkpoint = load(shipped_path(name))
    found = checkpoint.header.embedding_sha256
    if found != embedding_sha256:
        raise TrainingError(
            f"{shipped_path(name)}: has the embeddings {found[:12]}, and the experiment learned from "
            f"{embedding_sha256[:12]}"
        )
    return checkpoint


def freeze(network: FaceNetwork, names: Sequence[str]) -> list[nn.Module]:
    """Stops the stages of these names from learning, in place -> their modules.

    Raises TrainingError for a name that the network does not have, or if nothing is left that learns.
    """
    stages = network.stages()
    if unknown := set(names) - set(stages):
        raise TrainingError(f"freeze: the network has no stage {min(unknown)!r}; it has {', '.join(stages) or 'none'}")
    modules = [module for name in names for module in stages[name]]
    for module in modules:
        module.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise TrainingError("freeze: every stage is frozen, so nothing is left to learn; name fewer")
    return modules
