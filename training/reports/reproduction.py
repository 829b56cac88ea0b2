"""The reproduction page: our runs of the reference's experiments, compared with its results."""

from collections.abc import Mapping

from training import metrics
from training.reports import literature, markdown
from training.runs.results import Run

HARDEST = 5


def format_page(runs: Mapping[str, Run], findings: str, grid: str) -> str:
    """The page on these runs, with the text of the findings and the table of the grid."""
    references = {reference.name: reference for reference in literature.REFERENCES}
    missing = [reference.system for name, reference in references.items() if name not in runs]
    parts = [
        "# The reference's experiments, run again",
        "Written by `python -m training report` from the results of the runs. The reference and our runs of the same "
        "names train and validate on one random split of LFW's pairsDevTrain (1,760 and 440 pairs) and test on "
        "pairsDevTest (1,000 pairs): deep-funneled, grey, 105x105, image-restricted. Intervals are 95%. Run a row "
        "with `python -m training run NAME`; run the grid and its best with `python -m training grid`, in bfloat16.",
        "## Compared with the reference",
        _table_beside(runs, references),
        *([f"Not run yet: {'; '.join(missing)}."] if missing else []),
        "## Error rates",
        _table_rates(runs),
        "![ROC of all runs](roc.png)",
        *([findings.strip()] if findings else []),
        *(["## The grid", grid] if grid else []),
        "## Learning curves",
        *(f"![{name}](curves-{name}.png)" for name in runs),
        "## Decisions furthest from and closest to the threshold",
        *(_hardest(name, run) for name, run in runs.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _table_beside(runs: Mapping[str, Run], references: Mapping[str, literature.Reference]) -> str:
    """Each of the reference's rows followed by our run; then our runs without a row in the reference."""
    head = ["run", "", "train loss", "validation accuracy", "lowest validation loss", "test BCE", "test MSE"]
    head += ["test accuracy at 0.5", "at the validation threshold", "minutes"]
    rows = []
    for name, reference in references.items():
        rows.append(_reference_row(reference))
        if name in runs:
            rows.append(_own_row(runs[name]))
    rows += [_own_row(run) for name, run in runs.items() if name not in references]
    return markdown.table(head, rows)


def _reference_row(row: literature.Reference) -> markdown.Row:
    cells = [row.system, "reference", row.train_loss, row.validation_accuracy, row.validation_loss]
    return [*cells, f"{row.test_loss:.4f}", "", f"{row.test_accuracy:.2%}", "", f"{row.minutes} (GPU)"]


def _own_row(run: Run) -> markdown.Row:
    history = run.history
    first, last = history[0], history[-1]
    peak = max(history, key=lambda row: row.validation_accuracy)
    lowest = min(history, key=lambda row: row.validation_loss)
    loss = "MSE" if lowest.validation_loss == lowest.validation_mse else "BCE"
    return [
        run.header.name,
        "ours",
        f"{first.train_loss:.4f} to {last.train_loss:.4f} ({loss})",
        f"{first.validation_accuracy:.2%} at first, {peak.validation_accuracy:.2%} at epoch {peak.epoch}, "
        f"{last.validation_accuracy:.2%} at epoch {last.epoch}",
        f"{lowest.validation_loss:.4f} ({loss}) at epoch {lowest.epoch}",
        f"{run.metric(metrics.CROSS_ENTROPY).value:.4f}",
        f"{run.metric(metrics.SQUARED_ERROR).value:.4f}",
        markdown.percent(run.metric(metrics.ACCURACY_AT_HALF)),
        markdown.percent(run.metric(metrics.ACCURACY_AT_THRESHOLD)),
        f"{sum(row.seconds for row in history) / 60:.0f}",
    ]


def _table_rates(runs: Mapping[str, Run]) -> str:
    head = ["run", metrics.AREA, metrics.EER, metrics.FNMR_AT_1, "n", "seed"]
    rows = []
    for name, run in runs.items():
        area, origin = run.metric(metrics.AREA), run.header.provenance
        row = [
            name,
            markdown.area(area),
            markdown.percent(run.metric(metrics.EER)),
            markdown.percent(run.metric(metrics.FNMR_AT_1)),
            str(area.pairs),
            str(origin.seed),
            f"{origin.data_sha256[:12]}, {origin.pairs_sha256[:12]}",
            f"{origin.code_version}, {origin.measured_with}",
        ]
        rows.append(row)
    return markdown.table([*head, "pictures, pairs (SHA-256)", "began, measured with"], rows)


def _hardest(name: str, run: Run) -> str:
    rows = [[kind.title, markdown.scored_pairs(pairs)] for kind, pairs in run.hardest(HARDEST)]
    table = markdown.table(["kind", "pairs and their similarity"], rows)
    return f"### {name}, threshold {run.header.threshold.value:.4f}\n\n{table}"
