"""The reports of all runs: the reference's experiments beside it, and accuracy beside published systems.

It reads what runs leave behind (`result.json`, `metrics.jsonl`, `test-scores.csv`), so it can be made again anywhere
without the pictures.
"""

from pathlib import Path

from model.errors import DataError
from training.learning.experiments import GRID_BASE, SMOKE
from training.learning.grid import BEST_FOLDER, GRID_FOLDER, Grid, known_points
from training.reports.accuracy import BASELINE, write_accuracy
from training.reports.literature import REFERENCES
from training.reports.reproduction import GridPoint, write_reproduction
from training.runs.read import read_run
from training.runs.records import RESULT_FILE, SCORES_FILE

REPRODUCED = {reference.name for reference in REFERENCES} | {BEST_FOLDER}


def write_report(results: Path, out: Path) -> list[Path]:
    """Writes two pages and their pictures into `out` from the runs in `results`, one folder each.

    `reproduction.md` has the reference's experiments, `accuracy.md` Experiment 2 again and all others. Runs that are
    not finished or were not tested are left out, and a page without runs. Raises DataError or TrainingError.
    """
    scores = [*sorted(results.glob(f"*/{SCORES_FILE}")), *results.glob(f"{GRID_FOLDER}/{BEST_FOLDER}/{SCORES_FILE}")]
    tested = [path.parent for path in scores if (path.parent / RESULT_FILE).exists()]
    if not tested:
        raise DataError(f"{results}: has no folder with a {SCORES_FILE}; runs leave one in runs/NAME")
    runs = {folder.name: read_run(folder) for folder in tested}
    repeated = {name: run for name, run in runs.items() if name in REPRODUCED}
    others = {name: run for name, run in runs.items() if name not in (REPRODUCED - {BASELINE}) | {SMOKE.name}}
    try:
        pages = [write_reproduction(results, out, repeated, _grid_points(results))] if repeated else []
        pages += [write_accuracy(results, out, others)] if others else []
    except OSError as error:
        raise DataError(f"{out}: the report cannot be written: {error}") from error
    if not pages:
        raise DataError(f"{results}: has only the run {SMOKE.name}, which no report is about")
    return pages


def _grid_points(results: Path) -> list[GridPoint]:
    return [
        GridPoint(
            batch_pairs=point.experiment.batch_pairs,
            learning_rate=point.experiment.learning_rate,
            epochs=point.experiment.epochs,
            patience_epochs=point.experiment.patience_epochs,
            stopped=point.stopped,
            best=point.best,
        )
        for point in known_points(Grid(base=GRID_BASE), results / GRID_FOLDER)
    ]
