"""`python -m training view2`: trains and tests the folds that are not done, and says what those done make together."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from model.checkpoint import Header
from model.errors import DataError, TrainingError
from training.album import Album
from training.identity_experiment import IdentityExperiment
from training.loop import train
from training.options import album_of, device_of, experiment_of, write_json
from training.parallel import require_lone_process
from training.people_data import describe_people
from training.provenance import code_version
from training.result import finish
from training.view2 import done_fold, fold_data, pairs_of_fold, summarise
from training.view2_lists import Protocol, read_protocol
from training.view2_results import VIEW2_FILE, format_view2


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
        fold = f"fold-{number:02d}"
        named = replace(experiment, name=f"{experiment.name}-{fold}")
        header = _fold(named, protocol, number, album, out / fold, device, wanted=number in wanted)
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
    folder: Path,
    device: torch.device,
    *,
    wanted: bool,
) -> Header | None:
    """What a fold's run says of itself, trained now if it is not done and is wanted."""
    data = fold_data(protocol, number, album, experiment)
    header = done_fold(experiment, data, folder)
    if header or not wanted:
        return header
    print(f"fold {number} of {len(protocol.numbers)}: {describe_people(data)}, on {device}", flush=True)
    test, code = pairs_of_fold(protocol, number, album), code_version()
    trained = train(experiment, data, folder, device, resume=True, code=code)
    return finish(experiment, trained, data, test, folder, code)
