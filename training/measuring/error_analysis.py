"""Analyses a finished run's errors: its test pairs binned by measurements of their faces, and the hardest pairs."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from training.data.album import Album, MeasuredFace
from training.runs import results
from training.statistics import rates

COUNT = 10
TURNED_DEG = (0.0, 10.0, 20.0, 30.0, 90.0)
QUARTERS = (0, 25, 50, 75, 100)
Values = NDArray[np.float64]


def analyse(run: results.Run, album: Album) -> results.ErrorAnalysis:
    """`album` has the run's pictures, aligned, with measurements of their faces."""
    measured = dict(zip(album.names, album.faces, strict=True))
    known = np.array([left in measured and right in measured for left, right in run.pairs])
    faces = [(measured[left], measured[right]) for left, right in run.pairs if left in measured and right in measured]
    return results.ErrorAnalysis(
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
) -> dict[str, tuple[results.Bin, ...]]:
    """The tables by title, from P pairs' two faces, which are decided correctly, and which are genuine, bool (P,)."""

    def worst(choose: Callable[[Sequence[float]], float], value: Callable[[MeasuredFace], float]) -> Values:
        return np.array([choose([value(face) for face in pair]) for pair in faces])

    turned = worst(max, lambda face: abs(face.quality.yaw_deg))
    eyes = worst(min, lambda face: face.quality.inter_eye_px)
    sharp = worst(min, lambda face: face.quality.sharpness)
    several = worst(max, lambda face: float(face.count > 1))
    return {
        "yaw of the more turned face, degrees": _bins(turned, TURNED_DEG, right, same),
        "another face in a picture": _kinds(several, right, same),
        "lesser distance between the eyes, pixels, quarters": _bins(eyes, _quarters(eyes), right, same),
        "lesser sharpness, quarters": _bins(sharp, _quarters(sharp), right, same),
    }


def _quarters(values: Values) -> tuple[float, ...]:
    return tuple(np.percentile(values, QUARTERS).tolist()) if len(values) else ()


def _bins(values: Values, edges: Sequence[float], right: rates.Labels, same: rates.Labels) -> tuple[results.Bin, ...]:
    """Bins from each edge up to the next; the last bin includes its upper edge."""
    found = []
    for number, (low, high) in enumerate(pairwise(edges)):
        last = number == len(edges) - 2
        inside = (values >= low) & ((values <= high) if last else (values < high))
        found.append(_bin(f"{low:.0f} to {high:.0f}", inside, right, same))
    return tuple(each for each in found if each.pairs)


def _kinds(several: Values, right: rates.Labels, same: rates.Labels) -> tuple[results.Bin, ...]:
    kinds = {"in neither": several == 0, "in one or both": several == 1}
    return tuple(_bin(label, inside, right, same) for label, inside in kinds.items() if inside.any())


def _bin(label: str, inside: rates.Labels, right: rates.Labels, same: rates.Labels) -> results.Bin:
    pairs, decided = int(inside.sum()), int((inside & right).sum())
    share = rates.wilson(decided, pairs) if pairs else None
    return results.Bin(
        label=label,
        pairs=pairs,
        right=decided,
        interval=(share.low, share.high) if share else (0.0, 1.0),
        genuine=int((inside & same).sum()),
        genuine_right=int((inside & same & right).sum()),
    )


def format_errors(found: results.ErrorAnalysis) -> str:
    lines = [
        f"{found.name} at its threshold {found.threshold:.4f}, {found.pairs} pairs, {found.faceless} without a face"
    ]
    for title, bins in found.tables.items():
        lines.append(title)
        for each in bins:
            share, (low, high) = each.right / each.pairs, each.interval
            lines.append(f"  {each.label:<16} {share:.4f}  95% {low:.4f} to {high:.4f}  n={each.pairs}")
    return "\n".join(lines)
