"""`python -m training`: parses the command line and runs the sub-command. Each adds its own arguments."""

import argparse
import os
import sys
from collections.abc import Sequence

from model.errors import FacepairError

try:
    from training.commands import (
        bulk,
        calibrate,
        conditions,
        evaluate,
        import_network,
        landmarks,
        options,
        prepare,
        report,
        runs,
        seeds,
        split,
        train,
        view2,
    )
except ModuleNotFoundError as error:
    ours = (error.name or "").partition(".")[0] in ("model", "training")
    if ours or __name__ != "__main__":
        raise
    sys.exit(f"error: {error.name} is not installed, which training needs and serving does not; run: make setup")

# In the order of the help.
COMMANDS = (
    train.add_run,
    train.add_grid,
    view2.add_view2,
    seeds.add_seeds,
    landmarks.add_landmarks,
    import_network.add_import,
    bulk.add_embed,
    bulk.add_verify,
    evaluate.add_evaluate,
    evaluate.add_all_pairs,
    evaluate.add_references,
    evaluate.add_elsewhere,
    conditions.add_conditions,
    conditions.add_shared_changes,
    calibrate.add_calibrate,
    evaluate.add_scenes,
    evaluate.add_errors,
    report.add_card,
    report.add_report,
    report.add_gallery,
    runs.add_runs,
    prepare.add_prepare,
    split.add_split,
    prepare.add_template,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0, 1 for a FacepairError (one line on standard error), 130 when interrupted, 141 when
    nothing reads what it prints any more.
    """
    parser = _parser()
    parsed, unknown = parser.parse_known_args(_with_default(sys.argv[1:] if arguments is None else arguments))
    if unknown and not getattr(parsed, "takes_values", False):
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    parsed.experiment_values = unknown
    try:
        options.require_writable(parsed)
        parsed.command(parsed)
        status = 0
    except FacepairError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        print(f"interrupted{getattr(parsed, 'goes_on', '')}", file=sys.stderr)
        status = 130
    except BrokenPipeError:
        status = 141
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        status = status or 141
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # at its end Python would complain of the rest
    return status


def _with_default(arguments: Sequence[str]) -> list[str]:
    """Adds `run experiment-2` if no command is given; options given alone apply to that run."""
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
    for add_command in COMMANDS:
        add_command(subcommands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
