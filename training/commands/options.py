"""From the parsed options of a sub-command to what it works on: device, pictures, pairs, people.

Every function raises the error, in one line, that a user needs to see.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from pydantic import BaseModel

from model.device import select_device
from model.errors import DataError
from model.files import replacing
from model.imaging.preprocessing import PreprocessingConfig
from training.data.album import Album, FaceOf, open_album
from training.data.archive import describe_ignored, find_images
from training.data.datasets import PeopleData, people_data
from training.data.pair_data import AnyData, PairData
from training.data.pairs import Key, PairSet, name_of, read_pairs, require_both_kinds, resolve, split
from training.data.people import HoldOut, pictures_of, read_people
from training.learning import parallel
from training.learning.experiments import AnyExperiment, find_experiment
from training.people.people_experiment import IdentityExperiment


def device_of(options: argparse.Namespace) -> torch.device:
    """The device asked for, with as many threads as asked for."""
    if options.threads:
        torch.set_num_threads(options.threads)
    return select_device(options.device)


def experiment_of(options: argparse.Namespace) -> AnyExperiment:
    """The experiment asked for; with another seed it has another name."""
    experiment = find_experiment(options.experiment)
    if options.seed in (None, experiment.seed):
        return experiment
    return replace(experiment, seed=options.seed, name=f"{experiment.name}-seed{options.seed}")


def album_of(options: argparse.Namespace, config: PreprocessingConfig, face: FaceOf = "center") -> Album:
    """The pictures, prepared; of each that has several faces the one nearest its centre, or the largest."""
    if not options.data.is_dir():
        raise DataError(f"{options.data}: there is no such folder; name the data with --data or FACEPAIR_LFW")
    source = find_images(options.data, options.images)
    if parallel.rank() == 0 and (ignored := describe_ignored(source)):
        print(f"{source}: left out: {ignored}")
    return open_album(source, options.cache, config, face)


def pairs_of(options: argparse.Namespace, album: Album, name: str, *, skip: bool = False) -> PairSet:
    """A pair list; with `skip` without the pairs whose pictures are not there, and it says how many those are."""
    path, index = options.data / name, album.index()
    pairs = read_pairs(path)
    if skip:
        there = [pair for pair in pairs if pair.left in index and pair.right in index]
        print(f"{len(pairs) - len(there)} of {len(pairs)} pairs left out, whose pictures are not there")
        pairs = there
    return resolve(path, pairs, index, album.faceless)


def pairs_to_test(options: argparse.Namespace, album: Album, *, skip: bool = False) -> PairSet:
    """The test pairs, of one person and of two."""
    pairs = pairs_of(options, album, options.test_pairs, skip=skip)
    require_both_kinds(options.data / options.test_pairs, pairs, "test")
    return pairs


def data_of(options: argparse.Namespace, experiment: AnyExperiment, album: Album) -> AnyData:
    """The pairs of a list, or the people of one, trained on and validated on."""
    if isinstance(experiment, IdentityExperiment):
        return people_of(options, album, experiment.held_out)
    path = options.data / options.train_pairs
    pairs = pairs_of(options, album, options.train_pairs)
    training, validation = split(pairs, experiment.validation_fraction, experiment.split_seed)
    require_both_kinds(path, validation, "validate")
    return PairData(album=album, training=training, validation=validation)


def people_of(options: argparse.Namespace, album: Album, rule: HoldOut) -> PeopleData:
    """The people to train on, some of them held out by the rule."""
    path = options.data / options.train_people
    data = people_data(album, pictures_of(path, read_people(path), album.keys, album.faceless), rule)
    require_both_kinds(path, data.validation, "validate")
    return data


def write_json(path: Path | None, found: BaseModel) -> None:
    """Writes what was measured, where a file is named, and says so. Raises DataError."""
    if path is None:
        return
    try:
        with replacing(path) as partial:
            partial.write_text(found.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error}") from error
    print(f"wrote {path}")


def seed(text: str) -> int:
    """An option's value, the seed of a run."""
    if not 0 <= (number := int(text)) < 2**32:
        raise argparse.ArgumentTypeError("must be from 0 to 4294967295")
    return number


def positive(text: str) -> int:
    """An option's value, a whole number from 1."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def names_of(keys: Sequence[Key]) -> str:
    """Pictures by name."""
    return ", ".join(map(name_of, keys)) or "none"
