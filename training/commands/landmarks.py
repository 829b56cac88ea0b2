"""`python -m training landmarks`: trains the network that refines landmarks."""

import argparse
import hashlib

import torch

from model.files import replacing
from training.commands import options
from training.data.cropping import cores
from training.data.datasets import HoldOut, hold_out
from training.landmarks.frames import make_frames
from training.landmarks.learning import LandmarkExperiment, train
from training.landmarks.network import to_onnx
from training.learning.experiments import EXPERIMENT_6


def add_landmarks(commands: options.Subcommands) -> None:
    command = commands.add_parser("landmarks", help="train the network that refines the landmarks of a face")
    options.add_out_file(command, "the network's file, such as model/imaging/landmarks.onnx", required=True)
    command.add_argument("--epochs", type=options.positive, default=LandmarkExperiment.epochs)
    options.add_data(command)
    command.set_defaults(command=train_landmarks)


def train_landmarks(parsed: argparse.Namespace) -> None:
    """Writes an ONNX file, trained on the people that experiments do not hold out."""
    source, config = options.data_source(parsed), EXPERIMENT_6.preprocessing
    assert config.alignment
    people = source.people("train_people")
    training, _ = hold_out({name: torch.arange(most) for name, most in people.items()}, HoldOut())
    keys = {key for key in source.file_names() if key[0] in training}
    frames = make_frames(sorted(source.files(keys).items()), config, cores())
    print(f"{len(frames.pixels)} pictures; {frames.left_out} left out, whose landmarks are not steady")
    network = train(frames, config.alignment, LandmarkExperiment(epochs=parsed.epochs), options.say)
    file = to_onnx(network)
    with replacing(parsed.out) as partial:
        partial.write_bytes(file)
    print(f"wrote {parsed.out}, sha256 {hashlib.sha256(file).hexdigest()}")
