"""`python -m training runs`: what finished runs have in common and where they differ."""

import argparse
from pathlib import Path

from model.errors import DataError
from training.commands import options
from training.reports.comparison import draw_comparison, format_comparison
from training.runs import results


def add_runs(commands: options.Subcommands) -> None:
    group = commands.add_parser("runs", help="compare two finished runs")
    actions = group.add_subparsers(required=True, metavar="ACTION")
    command = actions.add_parser(
        "compare", help="a table of two runs, McNemar's test, and their curves over each other"
    )
    command.add_argument("first", type=Path, help="folder of a finished run")
    command.add_argument("second", type=Path, help="folder of another, tested on the same pairs")
    options.add_out_file(command, "the picture to write (default: comparison.png)", default=Path("comparison.png"))
    command.set_defaults(command=compare)


def compare(parsed: argparse.Namespace) -> None:
    """Prints the table and the test, and writes the picture. Raises DataError."""
    folders = (parsed.first, parsed.second)
    runs = (_read_tested(parsed.first), _read_tested(parsed.second))
    names = tuple(run.header.name for run in runs)
    labels = (names[0], names[1]) if names[0] != names[1] else (str(folders[0]), str(folders[1]))
    text = format_comparison(labels, runs)
    try:
        draw_comparison(parsed.out, labels, runs)
    except OSError as error:
        raise DataError(f"{parsed.out}: cannot be written: {error}") from error
    print(f"{text}\n\nwrote {parsed.out}")


def _read_tested(folder: Path) -> results.Run:
    if (folder / results.RESULT_FILE).exists() and not (folder / results.SCORES_FILE).exists():
        raise DataError(f"{folder}: the run was not tested; --resume it without --no-test")
    return results.read_run(folder)
