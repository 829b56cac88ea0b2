"""`python -m training report`, `gallery` and `card`: pages on finished runs and checkpoints."""

import argparse
from pathlib import Path

from model.checkpoint import load
from model.errors import DataError
from training.commands import options
from training.learning import experiments, grid
from training.reports import accuracy, literature, reproduction
from training.reports.gallery import write_gallery
from training.runs import card, results

REPRODUCED = {reference.name for reference in literature.REFERENCES} | {grid.BEST_FOLDER}


def add_report(commands: options.Subcommands) -> None:
    """Adds `report`."""
    command = commands.add_parser("report", help="reports that compare all runs with the reference and others")
    command.add_argument("--results", type=Path, default=Path("runs"), help="folder of the runs (default: runs)")
    command.add_argument("--out", type=Path, default=Path("report"), help="folder to write into (default: report)")
    command.set_defaults(command=report)


def report(parsed: argparse.Namespace) -> None:
    """Writes the reports of all runs."""
    for page in write_report(parsed.results, parsed.out):
        print(f"wrote {page}")


def write_report(folder: Path, out: Path) -> list[Path]:
    """Writes two pages and their figures into `out` from the runs in `folder`, one folder per run.

    `reproduction.md` has the reference's experiments, `accuracy.md` all others and Experiment 2 again. Leaves out runs
    that are not finished or not tested, and a page without runs. Needs only the runs' files, not the data set's
    pictures. Raises DataError or TrainingError if a run cannot be read or there is none.
    """
    best_of_grid = folder.glob(f"{grid.GRID_FOLDER}/{grid.BEST_FOLDER}/{results.SCORES_FILE}")
    scores = [*sorted(folder.glob(f"*/{results.SCORES_FILE}")), *best_of_grid]
    tested = [path.parent for path in scores if (path.parent / results.RESULT_FILE).exists()]
    if not tested:
        raise DataError(f"{folder}: has no folder with a {results.SCORES_FILE}; runs leave one in runs/NAME")
    runs = {path.name: results.read_run(path) for path in tested}
    repeated = {name: run for name, run in runs.items() if name in REPRODUCED}
    elsewhere = (REPRODUCED - {accuracy.BASELINE}) | {experiments.SMOKE.name}
    others = {name: run for name, run in runs.items() if name not in elsewhere}
    try:
        pages = [reproduction.write_reproduction(folder, out, repeated, _grid_points(folder))] if repeated else []
        pages += [accuracy.write_accuracy(folder, out, others)] if others else []
    except OSError as error:
        raise DataError(f"{out}: the report cannot be written: {error}") from error
    if not pages:
        raise DataError(f"{folder}: has only the run {experiments.SMOKE.name}, which reports leave out; run another")
    return pages


def _grid_points(folder: Path) -> list[reproduction.GridPoint]:
    return [
        reproduction.GridPoint(
            batch_pairs=point.experiment.batch_pairs,
            learning_rate=point.experiment.learning_rate,
            epochs=point.experiment.epochs,
            patience_epochs=point.experiment.patience_epochs,
            stopped=point.stopped,
            best=point.best,
        )
        for point in grid.known_points(grid.Grid(base=experiments.GRID_BASE), folder / grid.GRID_FOLDER)
    ]


def add_gallery(commands: options.Subcommands) -> None:
    """Adds `gallery`."""
    command = commands.add_parser("gallery", help="right and wrong test pairs of a run, as a page with pictures")
    command.add_argument("run", type=Path, help="folder of a finished run")
    command.add_argument("--out", type=Path, default=Path("gallery.html"), help="file to write (default: gallery.html)")
    options.add_data(command)
    command.set_defaults(command=gallery)


def gallery(parsed: argparse.Namespace) -> None:
    """Writes the gallery of a run."""
    run = results.read_run(parsed.run)
    write_gallery(parsed.out, run, options.open_album(options.data_source(parsed), run.header.preprocessing))
    print(f"wrote {parsed.out}; it holds pictures of the data set")


def add_card(commands: options.Subcommands) -> None:
    """Adds `card`."""
    command = commands.add_parser("card", help="print a checkpoint's card: what it scores, where it comes from")
    command.add_argument("checkpoint", type=Path)
    command.set_defaults(command=print_card)


def print_card(parsed: argparse.Namespace) -> None:
    """Prints a checkpoint's card."""
    print(card.format_card(load(parsed.checkpoint).header), end="")
