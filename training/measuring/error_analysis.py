"""Analyses a finished run's errors: its test pairs binned by measurements of their faces, and the hardest pairs."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from training.data.album import Album, MeasuredFace
from training.runs import records, results
from training.statistics import rates

COUNT = 10
TURNED_DEG = (0.0, 10.0, 20.0, 30.0, 90.0)
QUARTERS = (0, 25, 50, 75, 100)
Values = NDArray[np.float64]


def analyse(run: results.Run, album: Album) -> records.ErrorAnalysis:
    """`album` has the run's pictures, aligned, with measurements of their faces."""
    measured = dict(zip(album.names, album.faces, strict=True))
    known = np.array([left in measured and right in measured for left, right in run.pairs])
    faces = [(measured[left], measured[right]) for left, right in run.pairs if left in measured and right in measured]
    return records.ErrorAnalysis(
        name=run.header.name,
        checkpoint_sha256=run.header.checkpoint_sha256,
        threshold=run.header.threshold.value,
        pairs=len(run.pairs),
        faceless=int((~known).sum()),
        tables=tables_of(faces, run.right[known], run.same[known]),
        # The surest of the wrong decisions and the narrowest of the right ones.
        hardest={kind.title: tuple(pairs) for kind, pairs in run.hardest(COUNT) if kind.right != kind.surest},
    )


def tables_of(
    faces: Sequence[tuple[MeasuredFace, MeasuredFace]], right: rates.Labels, same: rates.Labels
) -> dict[str, tuple[records.Bin, ...]]:
    """The tables by title, from P pairs' two faces, which are decided correctly, and which are genuine, bool (P,)."""

    def worst(choose: Callable[[Sequence[float]], float], value: Callable[[MeasuredFace], float]) -> Values:
        return np.array([choose([value(face) for face in pair]) for pair in faces])

    turned = worst(max, lambda face: abs(face.quality.yaw_deg))
    eyes = worst(min, lambda face: face.quality.inter_eye_px)
    sharp = worst(min, lambda face: face.quality.sharpness)
    several = worst(max, lambda face: float(face.count > 1))
    bins = {
        "yaw of the more turned face, degrees": _ranges(turned, TURNED_DEG),
        "another face in a picture": [("in neither", several == 0), ("in one or both", several == 1)],
        "lesser distance between the eyes, pixels, quarters": _ranges(eyes, _quarters(eyes)),
        "lesser sharpness, quarters": _ranges(sharp, _quarters(sharp)),
    }
    return {
        title: tuple(_bin(label, inside, right, same) for label, inside in labelled if inside.any())
        for title, labelled in bins.items()
    }


def _quarters(values: Values) -> tuple[float, ...]:
    return tuple(np.percentile(values, QUARTERS).tolist()) if len(values) else ()


def _ranges(values: Values, edges: Sequence[float]) -> list[tuple[str, rates.Labels]]:
    """Ranges from each edge up to the next, and the values inside; the last range includes its upper edge."""
    return [
        (f"{low:.0f} to {high:.0f}", (values >= low) & (values <= high if number == len(edges) else values < high))
        for number, (low, high) in enumerate(pairwise(edges), 2)
    ]


def _bin(label: str, inside: rates.Labels, right: rates.Labels, same: rates.Labels) -> records.Bin:
    pairs, decided = int(inside.sum()), int((inside & right).sum())
    share = rates.wilson(decided, pairs)
    return records.Bin(
        label=label,
        pairs=pairs,
        right=decided,
        interval=(share.low, share.high),
        genuine=int((inside & same).sum()),
        genuine_right=int((inside & same & right).sum()),
    )


def format_errors(found: records.ErrorAnalysis) -> str:
    lines = [
        f"{found.name} at its threshold {found.threshold:.4f}, {found.pairs} pairs, {found.faceless} without a face"
    ]
    for title, bins in found.tables.items():
        lines.append(title)
        for each in bins:
            share, (low, high) = each.right / each.pairs, each.interval
            lines.append(f"  {each.label:<16} {share:.4f}  95% {low:.4f} to {high:.4f}  n={each.pairs}")
    return "\n".join(lines)
