"""`python -m training calibrate`: thresholds from other people's photographs."""

import argparse
from pathlib import Path

import numpy as np

from model.checkpoint import Checkpoint
from model.networks import architecture, embedder
from model.similarity import OperatingPoint
from training import metrics
from training.commands import options
from training.measuring import recalibration, samples


def add_calibrate(commands: options.Subcommands) -> None:
    command = commands.add_parser("calibrate", help="thresholds from your own pictures, for the same network")
    command.add_argument("checkpoint", type=Path)
    command.add_argument("--pairs", help="in the data folder, a list of pairs (default: all people of the pictures)")
    command.add_argument("--centre", action="store_true", help="subtract the mean of these pictures' embeddings")
    command.add_argument("--keep-alike", action="store_true", help="pictures that look like copies are not")
    options.add_face(command, "largest", "as the service does")
    command.add_argument("--skip-missing", action="store_true", help="leave out pairs whose pictures are not there")
    options.add_out_file(command, "the new checkpoint", required=True)
    # The usual default, LFW, would measure on people that networks are trained on.
    options.add_data(command, images=options.FOLDER_ITSELF)
    options.add_device(command)
    command.set_defaults(command=calibrate)


def calibrate(parsed: argparse.Namespace) -> None:
    """Writes a checkpoint with the same tensors, and a calibration, thresholds and rates from the user's pictures."""
    options.require_with(parsed, "--skip-missing", "--pairs")
    options.spare([parsed.checkpoint], parsed.out)
    on = options.Opened.of(parsed)
    network = architecture.restore(on.checkpoint).to(on.device)
    if on.album.faceless:
        print(f"left out, because no face large enough was found: {on.album.faceless_names}")
    if parsed.pairs:
        pairs = options.read_pairs(on.album, parsed.data / parsed.pairs, skip=parsed.skip_missing)
        sample = samples.sample_of_list(network, on.album, pairs, keep_alike=parsed.keep_alike)
    else:
        sample = samples.sample_of_people(network, on.album, keep_alike=parsed.keep_alike)
    code = options.code_version()
    found = recalibration.recalibrated(on.checkpoint, network, sample, on.album.sha256, code, centre=parsed.centre)
    embedder.save(parsed.out, network, found.description)
    _print_distance(on.checkpoint, sample, found)
    _print_new(on.checkpoint, sample, found)
    print(f"wrote {parsed.out}; serve it with: python -m app --weights {parsed.out}")
    print("embeddings stored with the old checkpoint stay valid: embedding_sha256 is the same")


def _print_distance(checkpoint: Checkpoint, sample: samples.Sample, found: recalibration.Recalibration) -> None:
    print(f"{len(sample.owner):,} pictures of {sample.people:,} people")
    if sample.copies:
        print(f"left out: {sample.copies} genuine pairs of pictures that look like copies; --keep-alike counts them")
    trained = checkpoint.tensors.get("head.mean")
    if found.length is not None:
        known = "" if trained is None else f" and {np.linalg.norm(trained):.2f} on the training set"
        print(
            f"the mean embedding of different people has length {found.length:.2f} here{known}; the longer it is, the "
            "more these pictures have in common, such as camera, crop or light, and the more strangers look alike"
        )
    for point in found.former:
        print(f"so far {_line(point)}")
    value, accepted = checkpoint.header.threshold.value, found.default_fmr[0]
    print(f"so far the default threshold {value:.4f} accepts {accepted:.2%} of strangers on these pictures")


def _print_new(checkpoint: Checkpoint, sample: samples.Sample, found: recalibration.Recalibration) -> None:
    new, old = found.description, checkpoint.header.threshold
    if found.refitted:
        scale, bias = new.calibration.scale, new.calibration.bias
        print(f"scale {scale:.3f} and bias {bias:+.3f} from {sample.genuine} genuine pairs")
    else:
        needed = f"{recalibration.MIN_GENUINE} genuine pairs are needed and there are {sample.genuine}"
        why = needed if sample.genuine < recalibration.MIN_GENUINE else "this network did not learn from people"
        print(f"scale and bias stay, since {why}; do not read a similarity as a probability here")
    if checkpoint.header.condition_rates and not new.condition_rates:
        print("conditions are left out: their rates were measured without this mean, and answers will not name them")
    former = checkpoint.header
    if former.calibration.mean and not (new.calibration.mean or former.condition_rates):
        print(
            "the checkpoint has no conditions, since it was centred before; to have them, calibrate the one that it "
            "was made from"
        )
    if measured := [metric for metric in new.metrics if metric.split == recalibration.SPLIT]:
        print(metrics.format_metrics(measured))
        print(
            f"measured on {len(sample.pairs):,} pairs, {sample.genuine / len(sample.pairs):.0%} of them genuine; all "
            "metrics but area, EER and FNMR depend on this share; expect slightly worse metrics on other pairs"
        )
    for point in new.operating_points:
        print(f"now    {_line(point)}")
    for name, why in found.refused.items():
        print(f"{name:<8} is left out: {why}")
    accepts = f"accepts {found.default_fmr[1]:.2%} of strangers on these pictures"
    if new.threshold == old:
        print(f"now    the default threshold stays {old.value:.4f} and {accepts}; to accept fewer, send max_fmr")
    else:
        print(f"now    the default threshold {new.threshold.value:.4f} {accepts}; chosen by {new.threshold.method}")


def _line(point: OperatingPoint) -> str:
    low, high = point.interval
    similar = point.fmr_of_similar
    alike = "" if similar is None else f", {similar:.2%} of each person's most similar strangers"
    return (
        f"max_fmr={point.max_fmr:<5g} accepts {point.fmr:.2%} of strangers on these pictures (95% over people "
        f"{low:.2%} to {high:.2%}; {point.pairs:,} pairs of {point.people:,} people){alike}, "
        f"threshold {point.threshold:.6f}"
    )
