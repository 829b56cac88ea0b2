"""`python -m training view2`: trains and tests the folds that are not done, and says what those done make together."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import torch

from model.checkpoint import Header
from model.errors import DataError, TrainingError
from training.commands.options import album_of, compute_of, source_of, write_json
from training.data.album import Album
from training.data.datasets import PeopleData
from training.data.lists import Folds, read_folds
from training.learning.experiments import PEOPLE_EXPERIMENTS, with_seed
from training.learning.loop import train
from training.learning.parallel import require_lone_process
from training.measuring.view2 import done_fold, fold_data, pairs_of_fold, summarise
from training.people.people_recipe import PeopleExperiment
from training.runs.finish import finish
from training.runs.provenance import code_version
from training.runs.records import VIEW2_FILE


def view2(options: argparse.Namespace) -> None:
    """Goes through all folds; those that are done already count, and those not asked for are left for later."""
    require_lone_process()
    if options.experiment not in PEOPLE_EXPERIMENTS:
        names = ", ".join(PEOPLE_EXPERIMENTS)
        raise TrainingError(f"{options.experiment}: View 2 is for experiments that learn from people: {names}")
    device, experiment = compute_of(options).select(), with_seed(PEOPLE_EXPERIMENTS[options.experiment], options.seed)
    source = source_of(options)
    protocol = read_folds(source.folder / options.people, source.folder / options.pairs)
    wanted = _wanted(options.folds, protocol)
    album = album_of(source, experiment.preprocessing)
    out = options.out or Path("runs") / f"view2-{experiment.name}"
    folds = {number: _Fold.of(number, experiment, protocol, album, out) for number in protocol.numbers}
    done = {number: header for number, fold in folds.items() if (header := fold.done())}
    left = sorted(wanted - set(done))
    for number in left:
        done[number] = folds[number].run(device)
        write_json(out / VIEW2_FILE, summarise(experiment.name, done, len(folds)))  # the next may fail
    found = summarise(experiment.name, done, len(folds))
    if not left:
        write_json(out / VIEW2_FILE, found)
    print(found)


def _wanted(folds: Sequence[int] | None, protocol: Folds) -> set[int]:
    unknown = set(folds or ()) - set(protocol.numbers)
    if unknown:
        raise DataError(f"{protocol.people_path}: has folds 1 to {len(protocol.numbers)}, not {min(unknown)}")
    return set(folds or protocol.numbers)


@dataclass(frozen=True, kw_only=True)
class _Fold:
    """One of the folds: the experiment under its name, and where it runs."""

    number: int
    experiment: PeopleExperiment
    protocol: Folds
    album: Album
    folder: Path

    @classmethod
    def of(cls, number: int, experiment: PeopleExperiment, protocol: Folds, album: Album, out: Path) -> Self:
        name = f"fold-{number:02d}"
        named = replace(experiment, name=f"{experiment.name}-{name}")
        return cls(number=number, experiment=named, protocol=protocol, album=album, folder=out / name)

    def data(self) -> PeopleData:
        """The people of the other folds."""
        return fold_data(self.protocol, self.number, self.album, self.experiment)

    def done(self) -> Header | None:
        """What its run says of itself if it is done. Raises TrainingError if it is of another run."""
        return done_fold(self.experiment, self.data(), self.folder)

    def run(self, device: torch.device) -> Header:
        """Trains it, going on where it stopped, and tests it."""
        data = self.data()
        print(f"fold {self.number} of {len(self.protocol.numbers)}: {data.describe()}, on {device}", flush=True)
        test, code = pairs_of_fold(self.protocol, self.number, self.album), code_version()
        trained = train(self.experiment, data, self.folder, device, resume=True, code=code)
        return finish(self.experiment, trained, data, test, self.folder, code)
