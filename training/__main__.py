"""`python -m training`: the sub-commands and their options."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from model.errors import FacepairError
from training.commands import evaluate as measuring
from training.commands import train as commands
from training.commands import view2 as view2_command
from training.commands.options import positive, seed
from training.data.album_cache import FaceOf
from training.learning.experiments import EXPERIMENTS

Subcommands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
# What an interruption says of a command that resumes by itself.
GOES_ON = "; the same command goes on from the last finished epoch"


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0, 1 for an error of ours (one line on standard error), 130 when interrupted."""
    options = _parser().parse_args(_with_default(sys.argv[1:] if arguments is None else arguments))
    try:
        options.command(options)
    except FacepairError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"interrupted{getattr(options, 'goes_on', '')}", file=sys.stderr)
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
    subcommands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_trainings(subcommands)
    _add_measurements(subcommands)
    _add_reports(subcommands)
    _add_preparations(subcommands)
    return parser


def _add_trainings(subcommands: Subcommands) -> None:
    run = subcommands.add_parser("run", help="train an experiment and write its checkpoint")
    run.add_argument("experiment", help=", ".join(EXPERIMENTS))
    run.add_argument("--out", type=Path, help="folder of the run (default: runs/EXPERIMENT)")
    run.add_argument("--resume", action="store_true", help="go on from the last finished epoch, if there is one")
    run.add_argument("--seed", type=seed, help="another seed than the experiment's")
    run.add_argument("--no-test", action="store_true", help="leave the test pairs alone, or do without any")
    run.set_defaults(command=commands.run, goes_on="; add --resume to go on from the last finished epoch")
    grid = subcommands.add_parser("grid", help="the grid search on Experiment 4, going on where it stopped")
    grid.add_argument("--out", type=Path, default=Path("runs/grid"), help="folder of the runs (default: runs/grid)")
    grid.add_argument("--only", nargs="+", default=(), help="trajectories to run now (default: all, and test the best)")
    grid.set_defaults(command=commands.grid, no_test=False, goes_on=GOES_ON)
    view2 = subcommands.add_parser("view2", help="LFW's ten folds, each scored by a network that saw only the others")
    view2.add_argument("experiment", help="one that learns from people")
    view2.add_argument("--folds", type=int, nargs="+", help="which to train now (default: all that are not done)")
    view2.add_argument("--people", default="people.txt", help="in the data folder, the folds of people")
    view2.add_argument("--pairs", default="pairs.txt", help="in the data folder, the folds of pairs")
    view2.add_argument("--out", type=Path, help="folder of the folds (default: runs/view2-EXPERIMENT)")
    view2.add_argument("--seed", type=seed, help="another seed than the experiment's")
    view2.set_defaults(command=view2_command.view2, goes_on=GOES_ON)
    for command in (run, grid, view2):
        _add_data_options(command)
        _add_device(command)


def _add_measurements(subcommands: Subcommands) -> None:
    evaluate = subcommands.add_parser("evaluate", help="score the test pairs with a checkpoint")
    evaluate.add_argument("checkpoint", type=Path)
    evaluate.add_argument("--skip-missing", action="store_true", help="leave out pairs whose pictures are not there")
    _add_face(evaluate, "center", "LFW's pictures are of whoever is there; the service takes the largest")
    evaluate.add_argument("--no-flip", action="store_true", help="without averaging over mirror images, fitted anew")
    evaluate.add_argument("--head", choices=["cosine"], help="the cosine instead of the fitted head, calibrated anew")
    evaluate.add_argument("--out", type=Path, help="file for the figures, such as RUN/evaluations/no-flip.json")
    evaluate.set_defaults(command=measuring.evaluate)
    all_pairs = subcommands.add_parser("all-pairs", help="error rates over every pair of the people of a list")
    all_pairs.add_argument("checkpoint", type=Path)
    all_pairs.add_argument("--people", default="peopleDevTest.txt", help="in the data folder, the list of people")
    all_pairs.add_argument("--out", type=Path, help="file for the figures, such as RUN/all-pairs.json")
    all_pairs.set_defaults(command=measuring.all_pairs)
    calibrate = subcommands.add_parser("calibrate", help="thresholds from your own pictures, for the same network")
    calibrate.add_argument("checkpoint", type=Path)
    calibrate.add_argument("--pairs", help="in the data folder, a list of pairs (default: all people of the pictures)")
    _add_face(calibrate, "largest", "as the service does")
    calibrate.add_argument("--skip-missing", action="store_true", help="leave out pairs whose pictures are not there")
    calibrate.add_argument("--out", type=Path, required=True, help="the new checkpoint")
    calibrate.set_defaults(command=measuring.calibrate)
    scenes = subcommands.add_parser("scenes", help="score the test pairs as a person would send them")
    scenes.add_argument("checkpoint", type=Path)
    scenes.set_defaults(command=measuring.scenes)
    _add_threads(scenes)
    errors = subcommands.add_parser("errors", help="where a finished run is wrong, by what its faces are like")
    errors.add_argument("run", type=Path, help="folder of a finished run")
    errors.set_defaults(command=measuring.errors)
    for command in (evaluate, all_pairs, calibrate, scenes, errors):
        _add_data_options(command)
    calibrate.set_defaults(images=None)  # by default LFW's, on whose people networks are trained
    for command in (evaluate, all_pairs, calibrate):
        _add_device(command)


def _add_reports(subcommands: Subcommands) -> None:
    card = subcommands.add_parser("card", help="print a checkpoint's card: what it scores, where it comes from")
    card.add_argument("checkpoint", type=Path)
    card.set_defaults(command=commands.card)
    report = subcommands.add_parser("report", help="reports of all runs beside the reference and others")
    report.add_argument("--results", type=Path, default=Path("runs"), help="folder of the runs (default: runs)")
    report.add_argument("--out", type=Path, default=Path("report"), help="folder to write into (default: report)")
    report.set_defaults(command=commands.report)
    gallery = subcommands.add_parser("gallery", help="right and wrong test pairs of a run, as a page with pictures")
    gallery.add_argument("run", type=Path, help="folder of a finished run")
    gallery.add_argument("--out", type=Path, default=Path("gallery.html"), help="file to write (default: gallery.html)")
    gallery.set_defaults(command=commands.gallery)
    _add_data_options(gallery)


def _add_preparations(subcommands: Subcommands) -> None:
    prepare = subcommands.add_parser("prepare", help="read an experiment's pictures, check its lists, fill the cache")
    prepare.add_argument("experiment", nargs="?", default="experiment-2", help="default: experiment-2")
    prepare.add_argument("--no-test", action="store_true", help="do without a list of test pairs")
    prepare.set_defaults(command=commands.prepare)
    template = subcommands.add_parser("template", help="measure where faces stand, on training people")
    template.set_defaults(command=commands.template)
    for command in (prepare, template):
        _add_data_options(command)


def _add_device(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    _add_threads(command)


def _add_data_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("FACEPAIR_LFW", "lfw")),
        help="folder with the pictures and the pair lists (default: $FACEPAIR_LFW, else lfw)",
    )
    command.add_argument(
        "--images",
        default="lfw-deepfunneled",
        help="in it, the folder of people, or its archive without .tgz (default: lfw-deepfunneled)",
    )
    command.add_argument("--train-pairs", default="pairsDevTrain.txt", help="in it, the pairs to train and validate on")
    command.add_argument(
        "--train-people",
        default="peopleDevTrain.txt",
        help="in it, the people to train and validate on, for experiments that learn from people",
    )
    command.add_argument("--test-pairs", default="pairsDevTest.txt", help="in it, the pairs to test on")
    command.add_argument(
        "--cache", type=Path, default=Path("cache"), help="folder for prepared pictures (default: cache)"
    )


def _add_face(command: argparse.ArgumentParser, default: FaceOf, why: str) -> None:
    command.add_argument(
        "--face",
        choices=["largest", "center"],
        default=default,
        help=f"which face of a picture that has several (default: {default}, {why})",
    )


def _add_threads(command: argparse.ArgumentParser) -> None:
    command.add_argument("--threads", type=positive, help="CPU threads (default: one for each core)")


if __name__ == "__main__":
    sys.exit(main())
