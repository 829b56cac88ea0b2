"""`python -m training calibrate`: thresholds and rates from the user's own pictures."""

import argparse
from pathlib import Path

import numpy as np

from model.checkpoint import load
from model.errors import DataError
from model.networks import architecture, embedder
from training import metrics
from training.commands import options
from training.fitting import recalibration


def add_calibrate(commands: options.Subcommands) -> None:
    """Adds `calibrate`."""
    command = commands.add_parser("calibrate", help="thresholds from your own pictures, for the same network")
    command.add_argument("checkpoint", type=Path)
    command.add_argument("--pairs", help="in the data folder, a list of pairs (default: all people of the pictures)")
    options.add_face(command, "largest", "as the service does")
    command.add_argument("--skip-missing", action="store_true", help="leave out pairs whose pictures are not there")
    command.add_argument("--out", type=Path, required=True, help="the new checkpoint")
    options.add_data(command)
    options.add_device(command)
    # The usual default, LFW, would measure on people that networks are trained on.
    command.set_defaults(command=calibrate, images=None)


def calibrate(parsed: argparse.Namespace) -> None:
    """Writes a checkpoint with the same tensors, and thresholds and rates from the user's own pictures."""
    device, checkpoint = options.compute(parsed).select(), load(parsed.checkpoint)
    if parsed.out.exists() and parsed.out.samefile(parsed.checkpoint):
        raise DataError(f"{parsed.out}: is the checkpoint itself; name another file with --out")
    if parsed.images is None:
        raise DataError("name the folder of your own people with --images; it must not have any training people")
    header, network, source = (
        checkpoint.header,
        architecture.restore(checkpoint).to(device),
        options.data_source(parsed),
    )
    album = options.open_album(source, header.preprocessing)
    if album.faceless:
        print(f"left out, because no face large enough was found: {album.faceless_names}")
    if parsed.pairs:
        pairs = options.read_pairs(source, album, parsed.pairs, skip=parsed.skip_missing)
        sample = recalibration.sample_of_list(network, header.preprocessing, album, pairs)
    else:
        sample = recalibration.sample_of_people(network, header.preprocessing, album)
    description = recalibration.recalibrated(header, network, sample, album.sha256, options.code_version())
    written = embedder.save(parsed.out, network, description)
    found = [metric for metric in written.metrics if metric.split == recalibration.SPLIT]
    print(metrics.format_metrics(found))
    people = len(np.unique(np.concatenate([sample.left, sample.right])))
    print(
        f"measured on {len(sample.scores):,} pairs, {sample.same.mean():.0%} of them genuine; all metrics but area, "
        "EER and FNMR depend on this share; expect slightly worse metrics on other pairs"
    )
    print(f"false match rates over {len(sample.impostor):,} impostor pairs of {people:,} people; 95% over people")
    for point in written.operating_points:
        low, high = point.interval
        print(f"{point.name:<10} threshold {point.threshold:.6f}  FMR {point.fmr:.4%}  95% {low:.4%} to {high:.4%}")
    print(f"threshold {written.threshold.value:.4f} instead of {header.threshold.value:.4f}; wrote {parsed.out}")
    print("embeddings stored with the old checkpoint stay valid: embedding_sha256 is the same")
