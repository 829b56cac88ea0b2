"""One report of all runs, beside the reference: tables, curves, ROC, the hardest pairs by name.

It reads what runs leave behind (`result.json`, `metrics.jsonl`, `test-scores.csv`), so it can be made again anywhere
without the pictures.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from model.checkpoint import Header, Metric
from model.errors import DataError
from model.files import replacing
from training.curves import draw_curves
from training.evaluation import Labels, Scores, area_under_roc, roc
from training.loop import METRICS_FILE, read_metrics
from training.reference import REFERENCES, Reference
from training.state import Epoch

RESULT_FILE = "result.json"
SCORES_FILE = "test-scores.csv"
FINDINGS_FILE = "findings.md"
HARDEST = 5


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run as its folder tells it; `pairs` are the names of the two pictures of each test pair."""

    header: Header
    history: list[Epoch]
    pairs: list[tuple[str, str]]
    scores: Scores
    same: Labels

    def metric(self, name: str, split: str = "test") -> Metric:
        """The figure of that name. Raises DataError."""
        for metric in self.header.metrics:
            if (metric.name, metric.split) == (name, split):
                return metric
        raise DataError(f"{self.header.name}: its result has no {name} of the {split} pairs")


def read_run(folder: Path) -> Run:
    """Reads a run's folder. Raises DataError or TrainingError."""
    try:
        header = Header.model_validate_json((folder / RESULT_FILE).read_bytes())
        with (folder / SCORES_FILE).open(newline="") as file:
            rows = list(csv.DictReader(file))
        return Run(
            header=header,
            history=read_metrics(folder / METRICS_FILE),
            pairs=[(row["left"], row["right"]) for row in rows],
            scores=np.array([float(row["similarity"]) for row in rows]),
            same=np.array([row["same"] == "1" for row in rows]),
        )
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{folder}: cannot be read as the results of a run: {error}") from error


def write_report(results: Path, out: Path) -> Path:
    """Writes `reproduction.md` and its pictures into `out` from the runs in `results`, one folder each."""
    runs = {path.parent.name: read_run(path.parent) for path in sorted(results.glob(f"*/{RESULT_FILE}"))}
    if not runs:
        raise DataError(f"{results}: has no folder with a {RESULT_FILE}; runs leave one in runs/NAME")
    for name, run in runs.items():
        draw_curves(out / f"curves-{name}.png", name, run.history)
    _draw_roc(out / "roc.png", list(runs.values()))
    findings = results / FINDINGS_FILE
    text = _report(runs, findings.read_text() if findings.exists() else "")
    path = out / "reproduction.md"
    with replacing(path) as partial:
        partial.write_text(text)
    return path


def _report(runs: dict[str, Run], findings: str) -> str:
    references = {reference.name: reference for reference in REFERENCES}
    missing = [reference.system for name, reference in references.items() if name not in runs]
    parts = [
        "# The reference's experiments, run again",
        "Made by `python -m training report` from the results of the runs. The reference, and the runs that bear its "
        "names, train and validate on one random split of LFW's pairsDevTrain (1,760 and 440 pairs) and test on "
        "pairsDevTest (1,000 pairs): deep-funneled, grey, 105x105, image-restricted. Intervals are 95%. A run reads "
        "its test pairs once.",
        "## Beside the reference",
        _table_beside(runs, references),
        *([f"Not run yet: {'; '.join(missing)}."] if missing else []),
        "## More of the same runs",
        _table_rates(runs),
        "![ROC of all runs](roc.png)",
        *([findings.strip()] if findings else []),
        "## Learning curves",
        *(f"![{name}](curves-{name}.png)" for name in runs),
        "## The surest and the narrowest answers",
        *(_hardest(name, run) for name, run in runs.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _table_beside(runs: dict[str, Run], references: dict[str, Reference]) -> str:
    lines = [
        "| run | | train loss | validation accuracy | lowest validation loss | test BCE | test MSE "
        "| test accuracy at 0.5 | at the validation threshold | minutes |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in [*references, *(name for name in runs if name not in references)]:
        if name in references:
            lines.append(_reference_row(references[name]))
        if name in runs:
            lines.append(_own_row(runs[name]))
    return "\n".join(lines)


def _reference_row(row: Reference) -> str:
    cells = [row.system, "reference", row.train_loss, row.validation_accuracy, row.validation_loss]
    cells += [f"{row.test_loss:.4f}", "", f"{row.test_accuracy:.2%}", "", f"{row.minutes} (GPU)"]
    return f"| {' | '.join(cells)} |"


def _own_row(run: Run) -> str:
    history = run.history
    first, last = history[0], history[-1]
    peak = max(history, key=lambda row: row.validation_accuracy)
    lowest = min(history, key=lambda row: row.validation_loss)
    loss = "MSE" if lowest.validation_loss == lowest.validation_mse else "BCE"
    cells = [
        run.header.name,
        "ours",
        f"{first.train_loss:.4f} to {last.train_loss:.4f} ({loss})",
        f"{first.validation_accuracy:.2%} at first, {peak.validation_accuracy:.2%} at epoch {peak.epoch}, "
        f"{last.validation_accuracy:.2%} at epoch {last.epoch}",
        f"{lowest.validation_loss:.4f} ({loss}) at epoch {lowest.epoch}",
        f"{run.metric('cross-entropy').value:.4f}",
        f"{run.metric('squared error').value:.4f}",
        _percent(run.metric("accuracy at 0.5")),
        _percent(run.metric("accuracy at threshold")),
        f"{sum(row.seconds for row in history) / 60:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _table_rates(runs: dict[str, Run]) -> str:
    lines = ["| run | area under ROC | EER | FNMR at FMR 1% | n | seed | code |", "|---|---|---|---|---|---|---|"]
    for name, run in runs.items():
        area = run.metric("area under ROC")
        assert area.interval
        cells = [
            name,
            f"{area.value:.4f} ({area.interval[0]:.4f} to {area.interval[1]:.4f})",
            _percent(run.metric("EER")),
            _percent(run.metric("FNMR at FMR 1%")),
            str(area.pairs),
            str(run.header.provenance.seed),
            run.header.provenance.code_version,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _percent(metric: Metric) -> str:
    interval = f" ({metric.interval[0]:.1%} to {metric.interval[1]:.1%})" if metric.interval else ""
    return f"{metric.value:.2%}{interval}"


def hardest(scores: Scores, same: Labels, threshold: float, count: int) -> dict[str, list[int]]:
    """Indices of pairs by kind: right or wrong, of one person or two, surest or narrowest; `count` of each."""
    margins = np.abs(scores - threshold)
    right = (scores >= threshold) == same
    kinds = {}
    for verdict, wanted in (("wrong", ~right), ("right", right)):
        for label, of in (("one person", same), ("two people", ~same)):
            found = np.flatnonzero(wanted & of)
            ordered = found[np.argsort(margins[found], kind="stable")]
            kinds[f"{verdict}, {label}, surest"] = ordered[::-1][:count].tolist()
            kinds[f"{verdict}, {label}, narrowest"] = ordered[:count].tolist()
    return kinds


def _hardest(name: str, run: Run) -> str:
    threshold = run.header.threshold.value
    lines = [f"### {name}, threshold {threshold:.4f}", "", "| kind | pairs and their similarity |", "|---|---|"]
    for kind, indices in hardest(run.scores, run.same, threshold, HARDEST).items():
        pairs = (f"{run.pairs[i][0]} / {run.pairs[i][1]} {run.scores[i]:.4f}" for i in indices)
        lines.append(f"| {kind} | {'; '.join(pairs)} |")
    return "\n".join(lines)


def _draw_roc(path: Path, runs: Sequence[Run]) -> None:
    figure = Figure(figsize=(5, 4.5), layout="constrained")
    panel = figure.subplots()
    for run in runs:
        fmr, fnmr = roc(run.scores, run.same)
        area = area_under_roc(run.scores, run.same)
        panel.plot(fmr, 1 - fnmr, label=f"{run.header.name}, area {area:.3f}")
    panel.plot([0, 1], [0, 1], color="grey", linewidth=0.5)
    panel.set(title="ROC on the test pairs", xlabel="false match rate", ylabel="1 - false non-match rate")
    panel.grid(alpha=0.3)
    panel.legend()
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=120)
