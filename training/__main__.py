"""`python -m training`: prepare the pictures, run an experiment, evaluate a checkpoint."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from model.checkpoint import load
from model.device import select_device
from model.errors import DataError, FacepairError
from model.preprocessing import PreprocessingConfig
from training.album import Album, find_images, open_album
from training.experiments import EXPERIMENTS, Experiment, find_experiment
from training.loop import TrainingData, train
from training.pairs import PairSet, read_pairs, resolve, shared_people, split
from training.result import code_version, finish, format_metrics, measure
from training.scoring import score_pairs


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0, 1 for an error of ours (one line on standard error), 130 when interrupted."""
    options = _parser().parse_args(_with_default(sys.argv[1:] if arguments is None else arguments))
    try:
        options.command(options)
    except FacepairError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; add --resume to go on from the last finished epoch", file=sys.stderr)
        return 130
    return 0


def _with_default(arguments: Sequence[str]) -> list[str]:
    """Without a command, Experiment 2 is trained; options given alone are that run's."""
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
        return ["run", "experiment-2", *arguments]
    return list(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description="Trains the network that decides whether two photographs show the same person.",
        epilog="Without a command it trains Experiment 2.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="train an experiment and write its checkpoint")
    run.add_argument("experiment", help=", ".join(EXPERIMENTS))
    run.add_argument("--out", type=Path, help="folder of the run (default: runs/EXPERIMENT)")
    run.add_argument("--resume", action="store_true", help="go on from the last finished epoch, if there is one")
    run.add_argument("--seed", type=int, help="another seed than the experiment's")
    run.set_defaults(command=_run)
    evaluate = commands.add_parser("evaluate", help="score the test pairs with a checkpoint")
    evaluate.add_argument("checkpoint", type=Path)
    evaluate.set_defaults(command=_evaluate)
    prepare = commands.add_parser("prepare", help="read the pictures, check the pair lists, fill the cache")
    prepare.set_defaults(command=_prepare)
    for command in (run, evaluate, prepare):
        _add_data_options(command)
        command.add_argument("--threads", type=int, help="CPU threads (default: one for each core)")
    for command in (run, evaluate):
        command.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    return parser


def _add_data_options(command: argparse.ArgumentParser) -> None:
    data = os.environ.get("FACEPAIR_LFW")
    command.add_argument(
        "--data",
        type=Path,
        required=data is None,
        default=Path(data) if data else None,
        help="folder with the pictures and the pair lists (default: $FACEPAIR_LFW)",
    )
    command.add_argument(
        "--images",
        default="lfw-deepfunneled",
        help="in it, the folder of people, or its archive without .tgz (default: lfw-deepfunneled)",
    )
    command.add_argument("--train-pairs", default="pairsDevTrain.txt", help="in it, the pairs to train and validate on")
    command.add_argument("--test-pairs", default="pairsDevTest.txt", help="in it, the pairs to test on")
    command.add_argument(
        "--cache", type=Path, default=Path("cache"), help="folder for prepared pictures (default: cache)"
    )


def _prepare(options: argparse.Namespace) -> None:
    album = _album(options, PreprocessingConfig())
    print(f"{len(album.keys)} pictures of {len({person for person, _ in album.keys})} people, sha256 {album.sha256}")
    for name in (options.train_pairs, options.test_pairs):
        pairs = _pairs(options, album, name)
        print(f"{name}: {len(pairs)} pairs, {int(pairs.same.sum())} of them of one person")


def _run(options: argparse.Namespace) -> None:
    code = code_version()  # before hours of training in which the files may change
    experiment = _experiment(options)
    device = _device(options)
    folder = options.out or Path("runs") / experiment.name
    album = _album(options, experiment.preprocessing)
    training, validation = split(
        _pairs(options, album, options.train_pairs), experiment.validation_fraction, experiment.split_seed
    )
    test = _pairs(options, album, options.test_pairs) if (options.data / options.test_pairs).exists() else None
    data = TrainingData(album=album, training=training, validation=validation)
    shared = shared_people(training, validation, album.keys)
    print(f"{experiment.name}: {len(training)} training and {len(validation)} validation pairs, on {device}")
    print(f"{shared} of the {len(validation)} validation pairs show a person who is in a training pair too")
    trained = train(experiment, data, folder, device, resume=options.resume)
    header = finish(experiment, trained, data, test, folder, code)
    print(format_metrics(header.metrics))
    path = folder / f"{experiment.name}.safetensors"
    print(f"threshold {header.threshold.value:.4f}; wrote {path}; serve it with: python -m app --weights {path}")


def _evaluate(options: argparse.Namespace) -> None:
    device = _device(options)
    checkpoint = load(options.checkpoint)
    header = checkpoint.header
    album = _album(options, header.preprocessing)
    test = _pairs(options, album, options.test_pairs)
    scores, same = score_pairs(checkpoint.network.to(device), header.preprocessing, album, test)
    print(f"{header.name} at its threshold {header.threshold.value:.4f} on {options.test_pairs}")
    print(format_metrics(measure("test", scores, same, header.threshold.value)))


def _experiment(options: argparse.Namespace) -> Experiment:
    experiment = find_experiment(options.experiment)
    return experiment if options.seed is None else replace(experiment, seed=options.seed)


def _device(options: argparse.Namespace) -> torch.device:
    if options.threads:
        torch.set_num_threads(options.threads)
    return select_device(options.device)


def _album(options: argparse.Namespace, config: PreprocessingConfig) -> Album:
    if not options.data.is_dir():
        raise DataError(f"{options.data}: there is no such folder; name the data with --data or FACEPAIR_LFW")
    return open_album(find_images(options.data, options.images), options.cache, config)


def _pairs(options: argparse.Namespace, album: Album, name: str) -> PairSet:
    path = options.data / name
    return resolve(path, read_pairs(path), album.index())


if __name__ == "__main__":
    sys.exit(main())
