"""`python -m training report`, `gallery` and `card`: pages on finished runs and checkpoints."""

import argparse
from pathlib import Path

from model.checkpoint import load
from model.errors import DataError
from model.files import replacing
from training.commands import options
from training.learning import experiments, grid
from training.learning.history import draw_curves
from training.reports import accuracy, gallery, literature, markdown, plots, reproduction
from training.runs import card, results

# In the folder of the runs, a text for each page.
FINDINGS_FILE, LOG_FILE = "findings.md", "accuracy-log.md"
REPRODUCED = {reference.name for reference in literature.REFERENCES} | {experiments.BEST_FOLDER}


def add_report(commands: options.Subcommands) -> None:
    command = commands.add_parser("report", help="reports that compare all runs with the reference and others")
    command.add_argument("--results", type=Path, default=Path("runs"), help="folder of the runs (default: runs)")
    options.add_out_folder(command, "folder to write into (default: report)", default=Path("report"))
    command.set_defaults(command=report)


def report(parsed: argparse.Namespace) -> None:
    for page in write_report(parsed.results, parsed.out):
        print(f"wrote {page}")


def write_report(folder: Path, out: Path) -> list[Path]:
    """Writes two pages and their figures into `out` from the runs in `folder`, one folder per run.

    `reproduction.md` has the reference's experiments, `accuracy.md` all others and Experiment 2 again. Leaves out runs
    that are not finished or not tested. Raises DataError or TrainingError if a run cannot be read or there is none.
    """
    best_of_grid = folder.glob(f"{grid.GRID_FOLDER}/{experiments.BEST_FOLDER}/{results.SCORES_FILE}")
    scores = [*sorted(folder.glob(f"*/{results.SCORES_FILE}")), *best_of_grid]
    tested = [path.parent for path in scores if (path.parent / results.RESULT_FILE).exists()]
    if not tested:
        raise DataError(f"{folder}: has no folder with a {results.SCORES_FILE}; runs leave one in runs/NAME")
    runs = {path.name: results.read_run(path) for path in tested}
    repeated = {name: run for name, run in runs.items() if name in REPRODUCED}
    elsewhere = (REPRODUCED - {accuracy.BASELINE}) | {experiments.SMOKE.name}
    others = {name: run for name, run in runs.items() if name not in elsewhere}
    if not repeated and not others:
        raise DataError(f"{folder}: has only the run {experiments.SMOKE.name}, which reports leave out; run another")
    for name, run in (repeated | others).items():
        _require_own_name(folder / name, run)
    pages = {}
    try:
        if repeated:
            points = grid.known_points(grid.Grid(), folder / grid.GRID_FOLDER)
            plots.draw_roc(out / "roc.png", list(repeated.values()))
            table = markdown.table(grid.GRID_HEADINGS, [point.cells() for point in points])
            pages[out / "reproduction.md"] = reproduction.format_page(
                repeated, _read_text(folder / FINDINGS_FILE), table
            )
        if others:
            plots.draw_det(out / "det.png", accuracy.choose_drawn(others))
            pages[out / "accuracy.md"] = accuracy.format_page(folder, others, _read_text(folder / LOG_FILE))
        for name, run in (repeated | others).items():
            if run.history:  # otherwise its head alone was fitted
                draw_curves(out / f"curves-{name}.png", name, run.history)
        for path, page in pages.items():
            with replacing(path) as partial:
                partial.write_text(page)
    except OSError as error:
        raise DataError(f"{out}: the report cannot be written: {error}") from error
    return list(pages)


def _require_own_name(folder: Path, run: results.Run) -> None:
    """Raises DataError if a run with changed values would be taken for the experiment that it varies."""
    if run.header.provenance.changes and folder.name in REPRODUCED | set(experiments.EXPERIMENTS):
        name = run.header.name if run.header.name != folder.name else f"{folder.name}-changed"
        raise DataError(f"{folder}: is {run.header.provenance.changes}; rename the folder, for example to {name}")


def _read_text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def add_gallery(commands: options.Subcommands) -> None:
    command = commands.add_parser("gallery", help="right and wrong test pairs of a run, as a page with pictures")
    command.add_argument("run", type=Path, help="folder of a finished run")
    options.add_out_file(command, "file to write (default: gallery.html)", default=Path("gallery.html"))
    options.add_data(command)
    command.set_defaults(command=show_gallery)


def show_gallery(parsed: argparse.Namespace) -> None:
    run = results.read_run(parsed.run)
    album = options.open_album(options.data_source(parsed), run.header.preprocessing)
    gallery.write_gallery(parsed.out, run, album)
    print(f"wrote {parsed.out}; it holds pictures of the data set")


def add_card(commands: options.Subcommands) -> None:
    command = commands.add_parser("card", help="print a checkpoint's card: what it scores, where it comes from")
    command.add_argument("checkpoint", type=Path)
    command.set_defaults(command=print_card)


def print_card(parsed: argparse.Namespace) -> None:
    print(card.format_card(load(parsed.checkpoint).header), end="")
