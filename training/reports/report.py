"""The reports of all runs: the reference's experiments beside it, and accuracy beside published systems.

It reads what runs leave behind (`result.json`, `metrics.jsonl`, `test-scores.csv`), so it can be made again anywhere
without the pictures.
"""

from pathlib import Path

from model.errors import DataError
from model.files import replacing
from training.learning.experiments import SMOKE
from training.learning.grid import BEST_FOLDER, GRID_FOLDER
from training.reports.accuracy_page import write_accuracy
from training.reports.accuracy_tables import BASELINE
from training.reports.markdown import table
from training.reports.plots import draw_curves, draw_roc
from training.reports.reference import REFERENCES
from training.reports.reproduction_tables import table_beside, table_grid, table_rates
from training.runs.finish import RESULT_FILE, SCORES_FILE
from training.runs.read import Run, read_run
from training.statistics.ranking import hardest

FINDINGS_FILE = "findings.md"
HARDEST = 5
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
        pages = [_write_reproduction(results, out, repeated)] if repeated else []
        pages += [write_accuracy(results, out, others)] if others else []
    except OSError as error:
        raise DataError(f"{out}: the report cannot be written: {error}") from error
    if not pages:
        raise DataError(f"{results}: has only the run {SMOKE.name}, which no report is about")
    return pages


def _write_reproduction(results: Path, out: Path, runs: dict[str, Run]) -> Path:
    for name, run in runs.items():
        draw_curves(out / f"curves-{name}.png", name, run.history)
    draw_roc(out / "roc.png", [(run.header.name, run.scores, run.same) for run in runs.values()])
    findings = results / FINDINGS_FILE
    path = out / "reproduction.md"
    with replacing(path) as partial:
        partial.write_text(_page(runs, findings.read_text() if findings.exists() else "", table_grid(results)))
    return path


def _page(runs: dict[str, Run], findings: str, grid: str) -> str:
    references = {reference.name: reference for reference in REFERENCES}
    missing = [reference.system for name, reference in references.items() if name not in runs]
    parts = [
        "# The reference's experiments, run again",
        "Made by `python -m training report` from the results of the runs. The reference, and the runs that bear its "
        "names, train and validate on one random split of LFW's pairsDevTrain (1,760 and 440 pairs) and test on "
        "pairsDevTest (1,000 pairs): deep-funneled, grey, 105x105, image-restricted. Intervals are 95%. Each row "
        "is made by `python -m training run NAME`; the grid and its best by `python -m training grid`, in bfloat16.",
        "## Beside the reference",
        table_beside(runs, references),
        *([f"Not run yet: {'; '.join(missing)}."] if missing else []),
        "## More of the same runs",
        table_rates(runs),
        "![ROC of all runs](roc.png)",
        *([findings.strip()] if findings else []),
        *(["## The grid", grid] if grid else []),
        "## Learning curves",
        *(f"![{name}](curves-{name}.png)" for name in runs),
        "## The surest and the narrowest answers",
        *(_hardest(name, run) for name, run in runs.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _hardest(name: str, run: Run) -> str:
    threshold = run.header.threshold.value
    rows = []
    for kind in hardest(run.scores, run.same, threshold, HARDEST):
        pairs = (f"{run.pairs[i][0]} / {run.pairs[i][1]} {run.scores[i]:.4f}" for i in kind.indices)
        rows.append([kind.title, "; ".join(pairs)])
    return f"### {name}, threshold {threshold:.4f}\n\n{table(['kind', 'pairs and their similarity'], rows)}"
