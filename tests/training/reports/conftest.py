"""Pictures of the reports, each of which is drawn once: most tests look at the pages around them."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from training.commands import report
from training.learning.history import Epoch, draw_curves
from training.metrics import AREA
from training.reports import plots
from training.runs.results import Run


@pytest.fixture(scope="package", autouse=True)
def _drawn_once() -> Iterator[None]:
    """A picture of the same values is the one that was drawn of them before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "draw_curves", _once(draw_curves, _curves))
        patch.setattr(plots, "draw_roc", _once(plots.draw_roc, _runs))
        patch.setattr(plots, "draw_det", _once(plots.draw_det, _runs))
        yield


def _once(draw: Callable[..., None], shown: Callable[..., Hashable]) -> Callable[..., None]:
    drawn: dict[Hashable, bytes] = {}

    def draw_once(path: Path, *values: Any) -> None:
        key = shown(*values)
        if key in drawn:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(drawn[key])
        else:
            draw(path, *values)
            drawn[key] = path.read_bytes()

    return draw_once


def _curves(title: str, history: Sequence[Epoch]) -> Hashable:
    return title, tuple(history)


def _runs(runs: Sequence[Run]) -> Hashable:
    return tuple((run.header.name, run.metric(AREA), run.scores.tobytes(), run.same.tobytes()) for run in runs)
