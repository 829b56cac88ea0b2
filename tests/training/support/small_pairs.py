"""The small experiment of the training tests."""

from dataclasses import replace
from pathlib import Path

import torch

from model.imaging.preprocessing import PreprocessingConfig
from model.networks.configurations import NetworkConfig
from training.data.datasets import PairData
from training.learning.loop import Trained, train
from training.pairs import Augmentation, PairExperiment

SIDE_PX = 66
CPU = torch.device("cpu")

NARROW = NetworkConfig(
    batch_norm=True, embedding_activation="relu", channels=(2, 2, 4, 4), dimension=8, side_px=SIDE_PX
)
SMALL = PairExperiment(
    name="small",
    network=NARROW,
    preprocessing=PreprocessingConfig(side_px=SIDE_PX),
    augmentation=Augmentation(),
    epochs=3,
    batch_pairs=4,
    learning_rate=1e-3,
)
# Steps too small to change a weight, so that every epoch validates alike.
STILL = replace(
    SMALL,
    network=NARROW.model_copy(update={"batch_norm": False}),
    augmentation=None,
    learning_rate=1e-30,
)


def run(experiment: PairExperiment, data: PairData, folder: Path, *, resume: bool = False) -> Trained:
    """Trains on the CPU."""
    return train(experiment, data, folder, CPU, resume=resume)
