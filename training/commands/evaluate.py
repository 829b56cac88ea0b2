"""The sub-commands that measure a finished checkpoint, given their parsed options; the others are in `commands.py`."""

import argparse
from collections.abc import Sequence

import numpy as np
import torch

from model.checkpoint import Checkpoint, load
from model.errors import DataError
from model.networks.architecture import restore
from model.networks.embedder import save
from model.networks.face_network import FaceNetwork
from training.commands.options import (
    album_of,
    compute_of,
    names_of,
    pairs_of,
    pairs_to_test,
    source_of,
    write_json,
)
from training.data.album import Album, name_of
from training.data.datasets import PeopleData
from training.data.lists import pictures_at_hand, read_pairs, read_people
from training.data.source import DataSource
from training.data.splits import owners
from training.fitting.recalibration import SPLIT, recalibrated, sample_of_list, sample_of_people
from training.learning.experiments import ALIGNED
from training.measuring.ablation import WITHOUT, Part, held_out_rule, leave_out
from training.measuring.all_pairs import format_rates, rates_of
from training.measuring.error_analysis import analyse, format_errors
from training.measuring.scenes import KINDS, MAX_OTHERS, format_scenes, measure_scenes
from training.metrics import format_metrics
from training.runs.provenance import code_version
from training.runs.read import read_run
from training.runs.records import ERRORS_FILE, AllPairsRates, Variant
from training.scoring import embed_all, score_all, score_pairs
from training.statistics.resampling import numbered
from training.statistics.summary import measure


def evaluate(options: argparse.Namespace) -> None:
    """Scores the test pairs with a checkpoint, or with what is left of it, and says which cannot be scored."""
    device, source = compute_of(options).select(), source_of(options)
    checkpoint = load(options.checkpoint)
    header = checkpoint.header
    asked: dict[Part, bool] = {"flip": options.no_flip, "head": options.head is not None}
    parts = [part for part, wanted in asked.items() if wanted]
    if source.face == "largest" and (header.preprocessing.alignment is None or parts):
        raise DataError("--face is for whole networks that were trained on straightened faces; leave it out")
    album = album_of(source, header.preprocessing)
    test = pairs_to_test(source, album, skip=options.skip_missing)
    network, threshold, what = _measured_network(checkpoint, parts, source, album, device)
    what = "the largest face of each picture" if source.face == "largest" else what
    scores, same = score_pairs(network, header.preprocessing, album, test)
    title = f"{header.name}, {what}," if what else header.name
    print(f"{title} at its threshold {threshold:.4f} on {source.test_pairs} of {source.images}")
    if album.faceless:
        print(f"no face was found in {len(album.faceless)} pictures: {names_of(album.faceless)}")
    people = numbered(test.names_of(album.keys))
    summary = measure("test", scores, same, threshold, people=people)
    metrics = summary.for_checkpoint(calibrated=network.calibrated)
    print(format_metrics(metrics))
    print(f"intervals over the {len(np.unique(people))} people of these pairs:")
    print(format_metrics(summary.over_people))
    found = Variant(
        name=header.name,
        checkpoint_sha256=header.checkpoint_sha256,
        what=what,
        images=source.images,
        pairs_list=source.test_pairs,
        data_sha256=album.sha256,
        left_out=len(read_pairs(source.folder / source.test_pairs)) - len(test),
        threshold=threshold,
        metrics=metrics,
        over_people=summary.over_people,
    )
    write_json(options.out, found)


def _measured_network(
    checkpoint: Checkpoint, parts: Sequence[Part], source: DataSource, album: Album, device: torch.device
) -> tuple[FaceNetwork, float, str]:
    """The checkpoint's network without those parts, its threshold, and what of it was left out, in words."""
    header = checkpoint.header
    if not parts:
        return restore(checkpoint).to(device), header.threshold.value, ""
    data = PeopleData.read(album, source.folder / source.train_people, held_out_rule(header))
    network, threshold = leave_out(checkpoint, parts, data, device)
    return network, threshold, ", ".join(WITHOUT[part][1] for part in parts)


def all_pairs(options: argparse.Namespace) -> None:
    """Error rates of a checkpoint over every pair of the pictures of a list of people."""
    device, source = compute_of(options).select(), source_of(options)
    checkpoint = load(options.checkpoint)
    album = album_of(source, checkpoint.header.preprocessing)
    listed = read_people(source.folder / options.people)
    found = pictures_at_hand(listed, album.keys)
    if len(found) < 2 or all(len(pictures) == 1 for pictures in found.values()):
        raise DataError(f"{source.folder / options.people}: takes people with several pictures in {source.images}")
    pictures, owner = owners(found)
    network = restore(checkpoint).to(device)
    pairs = score_all(network, embed_all(network, checkpoint.header.preprocessing, album.pixels[pictures]), owner)
    rates = AllPairsRates(
        name=checkpoint.header.name,
        checkpoint_sha256=checkpoint.header.checkpoint_sha256,
        people_list=options.people,
        images=source.images,
        data_sha256=album.sha256,
        people=len(found),
        pictures=len(pictures),
        missing=sum(listed.values()) - len(pictures),
        genuine=len(pairs.genuine),
        impostor=len(pairs.impostor),
        rates=rates_of(pairs),
    )
    print(format_rates(rates))
    write_json(options.out, rates)


def calibrate(options: argparse.Namespace) -> None:
    """A checkpoint of the same tensors with thresholds and rates from the user's own pictures."""
    device = compute_of(options).select()
    checkpoint = load(options.checkpoint)
    if options.out.exists() and options.out.samefile(options.checkpoint):
        raise DataError(f"{options.out}: is the checkpoint itself; name another file with --out")
    if options.images is None:
        raise DataError("name the folder of your own people with --images; none whom the network was trained on")
    header, network, source = checkpoint.header, restore(checkpoint).to(device), source_of(options)
    album = album_of(source, header.preprocessing)
    if album.faceless:
        print(f"left out, since no face large enough was found in them: {names_of(album.faceless)}")
    if options.pairs:
        pairs = pairs_of(source, album, options.pairs, skip=options.skip_missing)
        sample = sample_of_list(network, header.preprocessing, album, pairs)
    else:
        sample = sample_of_people(network, header.preprocessing, album)
    description = recalibrated(header, network, sample, album.sha256, code_version())
    written = save(options.out, network, description)
    print(format_metrics([metric for metric in written.metrics if metric.split == SPLIT]))
    people = len(np.unique(np.concatenate([sample.left, sample.right])))
    print(
        f"these figures are of {len(sample.scores):,} pairs, {sample.same.mean():.0%} of them of one person, on which "
        "all but area, EER and FNMR depend; other pairs will be judged a little worse"
    )
    print(f"the rates below are of {len(sample.impostor):,} pairs of strangers, {people:,} people; 95% over people")
    for point in written.operating_points:
        low, high = point.interval
        print(f"{point.name:<10} threshold {point.threshold:.6f}  FMR {point.fmr:.4%}  95% {low:.4%} to {high:.4%}")
    print(f"threshold {written.threshold.value:.4f} instead of {header.threshold.value:.4f}; wrote {options.out}")
    print("embeddings stored with the old checkpoint stay valid: embedding_sha256 is the same")


def scenes(options: argparse.Namespace) -> None:
    """Scores the test pairs with a checkpoint, each picture in a scene as a person would send it."""
    compute_of(options).select()
    checkpoint, source = load(options.checkpoint), source_of(options)
    pairs = read_pairs(source.folder / source.test_pairs)
    others = [(person, f"{person}_0001") for person in list(read_people(source.folder / source.train_people))[::8]]
    wanted = {key for pair in pairs for key in (pair.left, pair.right)}
    files = source.files(wanted | set(others))
    if missing := sorted(name_of(key) for pair in pairs for key in (pair.left, pair.right) if key not in files):
        raise DataError(f"{source.images}: {len(missing)} of the pairs' pictures are not there, such as {missing[0]}")
    crowd = [files[key] for key in others if key in files]
    if len(crowd) <= MAX_OTHERS:
        raise DataError(f"{source.images}: has {len(crowd)} pictures of other people; a scene takes {1 + MAX_OTHERS}")
    print(f"{checkpoint.header.name} at its threshold {checkpoint.header.threshold.value:.4f} on {source.test_pairs}")
    for kind in KINDS:
        print(format_scenes(measure_scenes(checkpoint, files, crowd, pairs, kind)), flush=True)


def errors(options: argparse.Namespace) -> None:
    """Where a finished run is wrong, by what can be measured of the faces of its test pairs."""
    found, source = read_run(options.run), source_of(options)
    config = found.header.preprocessing
    album = album_of(source, config if config.alignment else ALIGNED)
    there = set(map(name_of, album.keys))
    if all(name not in there for pair in found.pairs for name in pair):
        raise DataError(f"{source.images}: has none of the run's pictures; name its data with --data and --images")
    analysis = analyse(found, album)
    print(format_errors(analysis))
    write_json(options.run / ERRORS_FILE, analysis)
