"""The tables of the reproduction page, in Markdown."""

from pathlib import Path

from model.checkpoint import Metric
from training.learning.grid import GRID_FOLDER, Grid, known_points
from training.reports.markdown import Row, table
from training.reports.reference import Reference
from training.runs.read import Run
from training.statistics.summary import AREA, AT_HALF, AT_THRESHOLD, EER, FNMR_AT_1


def table_beside(runs: dict[str, Run], references: dict[str, Reference]) -> str:
    """Ours and the reference's rows, one above the other; then our runs that have no row of the reference's."""
    head = ["run", "", "train loss", "validation accuracy", "lowest validation loss", "test BCE", "test MSE"]
    head += ["test accuracy at 0.5", "at the validation threshold", "minutes"]
    rows = []
    for name, reference in references.items():
        rows.append(_reference_row(reference))
        if name in runs:
            rows.append(_own_row(runs[name]))
    rows += [_own_row(run) for name, run in runs.items() if name not in references]
    return table(head, rows)


def _reference_row(row: Reference) -> Row:
    cells = [row.system, "reference", row.train_loss, row.validation_accuracy, row.validation_loss]
    return [*cells, f"{row.test_loss:.4f}", "", f"{row.test_accuracy:.2%}", "", f"{row.minutes} (GPU)"]


def _own_row(run: Run) -> Row:
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
        f"{run.metric('cross-entropy').value:.4f}",
        f"{run.metric('squared error').value:.4f}",
        _percent(run.metric(AT_HALF)),
        _percent(run.metric(AT_THRESHOLD)),
        f"{sum(row.seconds for row in history) / 60:.0f}",
    ]


def table_rates(runs: dict[str, Run]) -> str:
    """Error rates, and where each run comes from."""
    head = ["run", AREA, EER, FNMR_AT_1, "n", "seed"]
    rows = []
    for name, run in runs.items():
        area, origin = run.metric(AREA), run.header.provenance
        assert area.interval
        row = [
            name,
            f"{area.value:.4f} ({area.interval[0]:.4f} to {area.interval[1]:.4f})",
            _percent(run.metric(EER)),
            _percent(run.metric(FNMR_AT_1)),
            str(area.pairs),
            str(origin.seed),
            f"{origin.data_sha256[:12]}, {origin.pairs_sha256[:12]}",
            f"{origin.code_version}, {origin.measured_with}",
        ]
        rows.append(row)
    return table([*head, "pictures, pairs (SHA-256)", "began, measured with"], rows)


def table_grid(results: Path) -> str:
    """All points of the grid that are known, or nothing."""
    rows = []
    for point in known_points(Grid(), results / GRID_FOLDER):
        run, best = point.experiment, point.best
        row = [run.batch_pairs, f"{run.learning_rate:g}", run.epochs, run.patience_epochs, point.stopped, best.epoch]
        rows.append([*map(str, row), f"{best.validation_loss:.4f}", f"{best.validation_accuracy:.2%}"])
    head = ["batch", "rate", "epochs", "patience", "stopped after", "best epoch"]
    return table([*head, "validation MSE", "validation accuracy"], rows)


def _percent(metric: Metric) -> str:
    interval = f" ({metric.interval[0]:.1%} to {metric.interval[1]:.1%})" if metric.interval else ""
    return f"{metric.value:.2%}{interval}"
