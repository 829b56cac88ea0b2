"""What the loop needs of a run, whatever it learns from: something to save, something to step, something to keep."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from model.errors import TrainingError
from model.networks.architecture import FaceNetwork
from training.data.datasets import PeopleData
from training.data.pair_data import AnyData, PairData
from training.learning import parallel
from training.learning.experiments import AnyExperiment, Experiment
from training.learning.state import Epoch
from training.pairs.pair_epoch import new_learner, run_epoch
from training.people.people_epoch import new_identity_learner, run_identity_epoch
from training.people.people_experiment import IdentityExperiment


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """`state` has every tensor that steps change, `network` the ones to keep; `run_epoch` takes the epoch's number."""

    state: nn.Module
    network: FaceNetwork
    optimizer: torch.optim.Optimizer
    run_epoch: Callable[[int], Epoch]


def new_trainer(experiment: AnyExperiment, data: AnyData, device: torch.device) -> Trainer:
    """The trainer of a run before its first step. Raises TrainingError if it cannot learn from the data."""
    if isinstance(experiment, Experiment) and isinstance(data, PairData):
        return _from_pairs(experiment, data, device)
    if isinstance(experiment, IdentityExperiment) and isinstance(data, PeopleData):
        return _from_people(experiment, data, device)
    raise TrainingError(f"{experiment.name}: pairs and people cannot stand for each other")


def _from_pairs(experiment: Experiment, data: PairData, device: torch.device) -> Trainer:
    parallel.require_share_of(len(data.training), experiment.batch_pairs)
    learner = new_learner(experiment, device)
    return Trainer(
        state=learner.network,
        network=learner.network,
        optimizer=learner.optimizer,
        run_epoch=lambda number: run_epoch(experiment, data, learner, number),
    )


def _from_people(experiment: IdentityExperiment, data: PeopleData, device: torch.device) -> Trainer:
    learner = new_identity_learner(experiment, data, device)
    return Trainer(
        state=learner.model,
        network=learner.model.average,
        optimizer=learner.optimizer,
        run_epoch=lambda number: run_identity_epoch(experiment, data, learner, number),
    )
