"""`torchrun -m tests.training.support.joint_people FOLDER`: what tests of the people recipe compare with one process.

Each process writes a file with its rank as its name.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from model.imaging.preprocessing import PreprocessingConfig
from model.networks import embedder
from model.networks.embedder import to_unit
from model.networks.residual import ResidualNetwork, initialise
from tests.training.support.small_people import SIDE_PX, SMALL_PEOPLE
from training.data.album import Album, PairSet
from training.data.datasets import PeopleData
from training.learning import parallel
from training.learning.experiments import EXPERIMENT_6
from training.learning.loop import run_epoch, take_step
from training.people import people_batches, teaching
from training.people.classifiers import Shard
from training.people.nuisances import Nuisances
from training.people.people_recipe import PeopleExperiment, PeopleRecipe
from training.people.teaching import Teaching

CPU = torch.device("cpu")
# Ten people have several pictures. A batch has 10 pictures of five of them, 4 of virtual people, 8 of people with one.
PICTURES = (3, 2, 4, 3, 1, 1, 2, 5, 1, 3, 2, 2, 6, 1)
# With everything that is drawn: virtual people, changes of single pictures and of groups.
JOINT = replace(
    SMALL_PEOPLE,
    name="joint-people",
    preprocessing=PreprocessingConfig(
        side_px=SIDE_PX, colour="rgb", crop=0.8, standardised=True, alignment=EXPERIMENT_6.preprocessing.alignment
    ),
    nuisances=Nuisances(people=3, probability=0.8, covered=0.5, each=0.5),
    people=5,
    singles=4,
    precision="float32",
    weight_decay=5e-3,
)
SHARDED = replace(JOINT, shard_above=1)
TAUGHT = replace(JOINT, teaching=Teaching(teachers=("one", "other"), embedding_sha256=("", "")))


def noise_data() -> PeopleData:
    """Crops of noise: gradients need no faces."""
    draws = torch.Generator().manual_seed(0)
    pictures = torch.arange(sum(PICTURES)).split(PICTURES)
    pixels = torch.randint(0, 256, (sum(PICTURES), SIDE_PX, SIDE_PX, 3), generator=draws, dtype=torch.uint8)
    left, right = torch.randint(0, len(pixels), (2, 30), generator=draws)
    pairs = PairSet(left=left, right=right, same=(torch.arange(30) % 2).float())
    training = {f"{number:02d}": of_person for number, of_person in enumerate(pictures)}
    album = Album(keys=[], pixels=pixels, sha256="", preprocessing=JOINT.preprocessing)
    return PeopleData(album=album, training=training, held_out={}, validation=pairs)


def compare(experiment: PeopleExperiment) -> dict[str, Any]:
    """The gradients of the first step, and the rows and the state of three epochs, in double precision."""
    data = noise_data()
    with _exact():
        recipe = experiment.recipe(data, CPU)
        recipe.state.train()
        take_step(experiment, recipe, next(recipe.batches(1)), CPU)
        gradients = {name: _whole_gradient(recipe, name) for name, _ in _learned(recipe)}
        recipe = experiment.recipe(data, CPU)
        rows = [asdict(run_epoch(experiment, recipe, number, CPU)) for number in (1, 2, 3)]
        return {"gradients": gradients, "rows": rows, "state": recipe.state.state_dict()}


def _learned(recipe: PeopleRecipe) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, parameter) for name, parameter in recipe.state.named_parameters() if parameter.requires_grad)


def _whole_gradient(recipe: PeopleRecipe, name: str) -> Tensor:
    parameter = recipe.state.get_parameter(name)
    assert parameter.grad is not None
    owner = recipe.state.get_submodule(name.rpartition(".")[0])
    return owner.collect(parameter.grad) if isinstance(owner, Shard) else parameter.grad


@contextmanager
def _exact() -> Iterator[None]:
    """Without normalisation, and in double precision: Adam amplifies rounding where a gradient is nearly zero."""
    with ExitStack() as patches:
        for name in ("BatchNorm1d", "BatchNorm2d"):
            patches.enter_context(patch.object(nn, name, lambda *_: nn.Identity()))
        for module in (people_batches, embedder):
            patches.enter_context(patch.object(module, "to_unit", lambda pixels: to_unit(pixels).double()))
        patches.enter_context(patch.object(Tensor, "float", Tensor.double))
        patches.enter_context(patch.object(teaching, "_network", _teacher))
        patches.callback(torch.set_default_dtype, torch.get_default_dtype())
        torch.set_default_dtype(torch.float64)
        yield


def _teacher(name: str, *_: object) -> ResidualNetwork:
    """A network with random weights instead of that checkpoint's."""
    network = ResidualNetwork(JOINT.network)
    initialise(network, torch.Generator().manual_seed(len(name)))
    return network


def main() -> None:
    torch.set_num_threads(1)
    with parallel.process_group(CPU):
        found = {"whole": compare(JOINT), "sharded": compare(SHARDED), "taught": compare(TAUGHT)}
        torch.save(found, Path(sys.argv[1], str(parallel.rank())))


if __name__ == "__main__":
    main()
