"""`python -m training view2`: trains and tests the folds that are not done, and says what those done make together."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from model.checkpoint import Header
from model.errors import DataError, TrainingError
from training.album import Album
from training.folds import VIEW2_FILE, format_view2
from training.identity_experiment import IdentityExperiment
from training.options import album_of, device_of, experiment_of, write_json
from training.parallel import require_lone_process
from training.people_data import describe_people
from training.protocol import Protocol, read_protocol
from training.provenance import code_version
from training.view2 import done_fold, fold_data, folder_of, of_fold, pairs_of_fold, run_fold, summarise


def view2(options: argparse.Namespace) -> None:
    """Goes through all folds; those that are done already count, and those not asked for are left for later."""
    require_lone_process()
    device, experiment = device_of(options), experiment_of(options)
    if not isinstance(experiment, IdentityExperiment):
        raise TrainingError(f"{experiment.name}: learns from pairs; View 2 is for experiments that learn from people")
    protocol = read_protocol(options.data / options.people, options.data / options.pairs)
    wanted = _wanted(options.folds, protocol)
    album = album_of(options, experiment.preprocessing)
    out = options.out or Path("runs") / f"view2-{experiment.name}"
    done: dict[int, Header] = {}
    for number in protocol.numbers:
        header = _fold(of_fold(experiment, number), protocol, number, album, out, device, train=number in wanted)
        if header:
            done[number] = header
    found = summarise(experiment.name, done, len(protocol.numbers))
    write_json(out / VIEW2_FILE, found)
    print(format_view2(found))


def _wanted(folds: Sequence[int] | None, protocol: Protocol) -> set[int]:
    unknown = set(folds or ()) - set(protocol.numbers)
    if unknown:
        raise DataError(f"{protocol.people_path}: has folds 1 to {len(protocol.numbers)}, not {min(unknown)}")
    return set(folds or protocol.numbers)


def _fold(
    experiment: IdentityExperiment,
    protocol: Protocol,
    number: int,
    album: Album,
    out: Path,
    device: torch.device,
    *,
    train: bool,
) -> Header | None:
    """What a fold's run says of itself, trained now if it is not done and is wanted."""
    folder, data = folder_of(out, number), fold_data(protocol, number, album, experiment)
    header = done_fold(experiment, data, folder)
    if header or not train:
        return header
    print(f"fold {number} of {len(protocol.numbers)}: {describe_people(data)}, on {device}", flush=True)
    test = pairs_of_fold(protocol, number, album)
    return run_fold(experiment, data, test, folder, device, code_version())
