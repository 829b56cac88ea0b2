"""ROC and DET curves of several runs as PNGs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from model.files import replacing
from training.metrics import AREA
from training.runs.results import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_roc(path: Path, runs: Sequence[Run]) -> None:
    """Draws 1 - FNMR over FMR, with each run's area in the legend."""
    figure = _new_figure()
    panel = figure.subplots()
    for run in runs:
        fmr, fnmr = run.roc()
        area = run.metric(AREA).value
        panel.plot(fmr, 1 - fnmr, label=f"{run.header.name}, area {area:.3f}")
    panel.plot([0, 1], [0, 1], color="grey", linewidth=0.5)
    panel.set(title="ROC on the test pairs", xlabel="false match rate", ylabel="1 - false non-match rate")
    panel.grid(alpha=0.3)
    panel.legend()
    _save(figure, path)


def draw_det(path: Path, runs: Sequence[Run]) -> None:
    """Draws FNMR over FMR on logarithmic axes, without rates of 0."""
    figure = _new_figure()
    panel = figure.subplots()
    for run in runs:
        fmr, fnmr = run.roc()
        shown = (fmr > 0) & (fnmr > 0)
        panel.plot(fmr[shown], fnmr[shown], label=run.header.name)
    panel.plot([1e-3, 1], [1e-3, 1], color="grey", linewidth=0.5)
    panel.set(title="DET on the test pairs", xlabel="false match rate", ylabel="false non-match rate")
    panel.set(xscale="log", yscale="log")
    panel.grid(alpha=0.3, which="both")
    panel.legend()
    _save(figure, path)


def _new_figure() -> "Figure":
    # Imported here, since it takes a second and few commands draw.
    from matplotlib.figure import Figure

    return Figure(figsize=(5, 4.5), layout="constrained")


def _save(figure: "Figure", path: Path) -> None:
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=120)
