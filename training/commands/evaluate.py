"""`python -m training evaluate`, `all-pairs`, `scenes` and `errors`: how right a finished network is, and where not."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from model.checkpoint import Checkpoint, load
from model.errors import DataError
from model.networks.architecture import restore
from model.networks.face_network import FaceNetwork
from training import metrics, scoring
from training.commands import options
from training.data import lists, splits
from training.data.album import Album, name_of
from training.data.datasets import PeopleData
from training.data.source import DataSource
from training.learning import experiments
from training.measuring import ablation, all_pairs, error_analysis, scenes
from training.runs import read, records
from training.statistics import resampling, summary


def add_evaluate(commands: options.Subcommands) -> None:
    """Adds `evaluate`."""
    command = commands.add_parser("evaluate", help="score the test pairs with a checkpoint")
    command.add_argument("checkpoint", type=Path)
    command.add_argument("--skip-missing", action="store_true", help="leave out pairs whose pictures are not there")
    options.add_face(command, "center", "LFW's pictures are of whoever is there; the service takes the largest")
    command.add_argument("--no-flip", action="store_true", help="without averaging over mirror images, fitted anew")
    command.add_argument("--head", choices=["cosine"], help="the cosine instead of the fitted head, calibrated anew")
    command.add_argument("--out", type=Path, help="file for the figures, such as RUN/evaluations/no-flip.json")
    options.add_data(command)
    options.add_device(command)
    command.set_defaults(command=evaluate)


def evaluate(parsed: argparse.Namespace) -> None:
    """Scores the test pairs with a checkpoint, or with what is left of it, and says which cannot be scored."""
    device, source = options.compute(parsed).select(), options.data_source(parsed)
    checkpoint = load(parsed.checkpoint)
    header = checkpoint.header
    asked: dict[ablation.Part, bool] = {"flip": parsed.no_flip, "head": parsed.head is not None}
    parts = [part for part, wanted in asked.items() if wanted]
    if source.face == "largest" and (header.preprocessing.alignment is None or parts):
        raise DataError("--face is for whole networks that were trained on straightened faces; leave it out")
    album = options.open_album(source, header.preprocessing)
    test = options.read_test_pairs(source, album, skip=parsed.skip_missing)
    network, threshold, what = _network(checkpoint, parts, source, album, device)
    what = "the largest face of each picture" if source.face == "largest" else what
    scores, same = scoring.score_pairs(network, header.preprocessing, album, test)
    title = f"{header.name}, {what}," if what else header.name
    print(f"{title} at its threshold {threshold:.4f} on {source.test_pairs} of {source.images}")
    if album.faceless:
        print(f"no face was found in {len(album.faceless)} pictures: {album.faceless_names}")
    people = resampling.numbered(test.names_of(album.keys))
    measured = summary.measure("test", scores, same, threshold, people=people)
    over_pairs = measured.for_checkpoint(calibrated=network.calibrated)
    print(metrics.format_metrics(over_pairs))
    print(f"intervals over the {len(np.unique(people))} people of these pairs:")
    print(metrics.format_metrics(measured.over_people))
    variant = records.Variant(
        name=header.name,
        checkpoint_sha256=header.checkpoint_sha256,
        what=what,
        images=source.images,
        pairs_list=source.test_pairs,
        data_sha256=album.sha256,
        left_out=len(lists.read_pairs(source.folder / source.test_pairs)) - len(test),
        threshold=threshold,
        metrics=over_pairs,
        over_people=measured.over_people,
    )
    options.write_json(parsed.out, variant)


def _network(
    checkpoint: Checkpoint, parts: Sequence[ablation.Part], source: DataSource, album: Album, device: torch.device
) -> tuple[FaceNetwork, float, str]:
    """The checkpoint's network without those parts, its threshold, and what of it was left out, in words."""
    header = checkpoint.header
    if not parts:
        return restore(checkpoint).to(device), header.threshold.value, ""
    data = PeopleData.read(album, source.folder / source.train_people, ablation.held_out_rule(header))
    network, threshold = ablation.leave_out(checkpoint, parts, data, device)
    return network, threshold, ", ".join(ablation.WITHOUT[part][1] for part in parts)


def add_all_pairs(commands: options.Subcommands) -> None:
    """Adds `all-pairs`."""
    command = commands.add_parser("all-pairs", help="error rates over every pair of the people of a list")
    command.add_argument("checkpoint", type=Path)
    command.add_argument("--people", default="peopleDevTest.txt", help="in the data folder, the list of people")
    command.add_argument("--out", type=Path, help="file for the figures, such as RUN/all-pairs.json")
    options.add_data(command)
    options.add_device(command)
    command.set_defaults(command=measure_all_pairs)


def measure_all_pairs(parsed: argparse.Namespace) -> None:
    """Error rates of a checkpoint over every pair of the pictures of a list of people."""
    device, source = options.compute(parsed).select(), options.data_source(parsed)
    checkpoint = load(parsed.checkpoint)
    header, path = checkpoint.header, source.folder / parsed.people
    album = options.open_album(source, header.preprocessing)
    listed = lists.read_people(path)
    people = lists.pictures_at_hand(listed, album.keys)
    if len(people) < 2 or all(len(pictures) == 1 for pictures in people.values()):
        raise DataError(f"{path}: takes people with several pictures in {source.images}")
    pictures, owner = splits.owners(people)
    network = restore(checkpoint).to(device)
    embeddings = scoring.embed_all(network, header.preprocessing, album.pixels[pictures])
    pairs = scoring.score_all(network, embeddings, owner)
    rates = records.AllPairsRates(
        name=header.name,
        checkpoint_sha256=header.checkpoint_sha256,
        people_list=parsed.people,
        images=source.images,
        data_sha256=album.sha256,
        people=len(people),
        pictures=len(pictures),
        missing=sum(listed.values()) - len(pictures),
        genuine=len(pairs.genuine),
        impostor=len(pairs.impostor),
        rates=all_pairs.rates_of(pairs),
    )
    print(all_pairs.format_rates(rates))
    options.write_json(parsed.out, rates)


def add_scenes(commands: options.Subcommands) -> None:
    """Adds `scenes`."""
    command = commands.add_parser("scenes", help="score the test pairs as a person would send them")
    command.add_argument("checkpoint", type=Path)
    options.add_threads(command)
    options.add_data(command)
    command.set_defaults(command=measure_scenes)


def measure_scenes(parsed: argparse.Namespace) -> None:
    """Scores the test pairs with a checkpoint, each picture in a scene as a person would send it."""
    options.compute(parsed).select()
    checkpoint, source = load(parsed.checkpoint), options.data_source(parsed)
    pairs = lists.read_pairs(source.folder / source.test_pairs)
    people = lists.read_people(source.folder / source.train_people)
    others = [(person, f"{person}_0001") for person in list(people)[::8]]
    shown = [key for pair in pairs for key in (pair.left, pair.right)]
    files = source.files({*shown, *others})
    if missing := sorted(name_of(key) for key in shown if key not in files):
        raise DataError(f"{source.images}: {len(missing)} of the pairs' pictures are not there, such as {missing[0]}")
    crowd = [files[key] for key in others if key in files]
    if len(crowd) <= scenes.MAX_OTHERS:
        wanted = 1 + scenes.MAX_OTHERS
        raise DataError(f"{source.images}: has {len(crowd)} pictures of other people; a scene takes {wanted}")
    print(f"{checkpoint.header.name} at its threshold {checkpoint.header.threshold.value:.4f} on {source.test_pairs}")
    for kind in scenes.KINDS:
        found = scenes.measure_scenes(checkpoint, files, crowd, pairs, kind)
        print(scenes.format_scenes(found), flush=True)


def add_errors(commands: options.Subcommands) -> None:
    """Adds `errors`."""
    command = commands.add_parser("errors", help="where a finished run is wrong, by what its faces are like")
    command.add_argument("run", type=Path, help="folder of a finished run")
    options.add_data(command)
    command.set_defaults(command=analyse_errors)


def analyse_errors(parsed: argparse.Namespace) -> None:
    """Where a finished run is wrong, by what can be measured of the faces of its test pairs."""
    run, source = read.read_run(parsed.run), options.data_source(parsed)
    config = run.header.preprocessing
    album = options.open_album(source, config if config.alignment else experiments.ALIGNED)
    there = set(album.names)
    if all(name not in there for pair in run.pairs for name in pair):
        raise DataError(f"{source.images}: has none of the run's pictures; name its data with --data and --images")
    analysis = error_analysis.analyse(run, album)
    print(error_analysis.format_errors(analysis))
    options.write_json(parsed.run / records.ERRORS_FILE, analysis)
