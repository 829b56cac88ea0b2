"""Error rates of held-out people's pictures that are changed alike: strangers have the blur, light or cover in common.

K held-out pictures, P validation pairs
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch

from model.checkpoint import Checkpoint, Header
from model.errors import DataError
from model.networks.calibrated import restore_calibrated
from training.conditions.held_out import HeldOutPictures, Scored
from training.conditions.of_pairs import least_similarities
from training.data.album import Album
from training.data.change import Change
from training.data.changes import CHANGES
from training.data.source import DataSource
from training.data.unfitted_changes import UNFITTED_CHANGES
from training.measuring.calibration_draws import calibrated_threshold, one_each, spread
from training.measuring.variants import held_out_rule, require_people
from training.runs.changed import CalibratedRates, ChangeRates, PointUnderChange, SharedChanges
from training.statistics import operating_points, rates

MEASURED = (*CHANGES, *UNFITTED_CHANGES)
# Draws of people to calibrate on.
CALIBRATIONS = 30


def measure_shared_changes(
    checkpoint: Checkpoint,
    source: DataSource,
    album: Album,
    device: torch.device,
    changes: Sequence[Change] | None = None,
    calibrate: int | None = None,
) -> SharedChanges:
    """The rates over the held-out people of a checkpoint's run: unchanged, then under each change, by default all.

    With `calibrate`, a threshold is also set on so many of them, and measured on the others. Raises DataError for other
    people than the run's, or if there are too few to calibrate.
    """
    header = checkpoint.header
    data = source.people_data(album, held_out_rule(header))
    require_people(header, data)
    pictures = HeldOutPictures(restore_calibrated(checkpoint).to(device), source, data)
    wanted = MEASURED if changes is None else changes
    scored = chain([pictures.unchanged()], map(pictures.after, wanted))
    found = [_rates(header, pictures, each, calibrate) for each in scored]
    return SharedChanges(
        name=header.name,
        checkpoint_sha256=header.checkpoint_sha256,
        data_sha256=album.sha256,
        people=len(data.held_out),
        pairs=len(data.validation),
        changes=tuple(found),
    )


def _rates(header: Header, pictures: HeldOutPictures, scored: Scored, calibrate: int | None) -> ChangeRates:
    there, left, right = scored.there, pictures.left, pictures.right
    both = there[left] & there[right]
    scores, same = scored.table[left, right].astype(np.float64)[both], pictures.same[both]
    conditions = _conditions(header, scored)
    noticed = [scored.condition in names for names, known in zip(conditions, there, strict=True) if known]
    right_of_one = scored.to_unchanged[left, right] >= header.threshold.value
    correct = rates.wilson(int(((right_of_one == pictures.same) & there[left]).sum()), len(left))
    points: dict[str, tuple[float, float | None]] = {"default": (header.threshold.value, None)}
    points |= {point.name: (point.threshold, point.max_fmr) for point in header.operating_points}
    return ChangeRates(
        change=scored.change,
        condition=scored.condition,
        fitted=scored.change not in {each.name for each in UNFITTED_CHANGES},
        pictures=len(there),
        found=int(there.sum()),
        noticed=float(np.mean(noticed)) if header.conditions and scored.condition else None,
        impostor=len(pictures.impostor_pairs(there)[0]),
        genuine=int(same.sum()),
        area=rates.area_under_roc(scores, same),
        points=tuple(_point(name, *point, header, pictures, scored, conditions) for name, point in points.items()),
        accuracy_of_one=correct.value,
        accuracy_interval=(correct.low, correct.high),
        calibrated=_calibrate(pictures, scored, calibrate) if calibrate else None,
    )


def _calibrate(pictures: HeldOutPictures, scored: Scored, people: int) -> CalibratedRates:
    known = np.where(scored.there, pictures.owner, -1)
    names = np.unique(known[scored.there])
    if len(names) < people + 2:
        raise DataError(f"{scored.change}: {len(names)} people have a face; {people + 2} are needed for --calibrate")
    one, other = pictures.impostor_pairs(scored.there)
    draws, found = np.random.default_rng(0), []
    for _ in range(CALIBRATIONS):
        drawn = draws.permutation(names)[:people]
        chosen = one_each(known, drawn, draws)
        pairs = scored.table[np.ix_(chosen, chosen)][np.triu_indices(people, 1)].astype(np.float64)
        outside = ~np.isin(known, drawn)
        others = outside[one] & outside[other]
        found.append((scored.table[one[others], other[others]] >= calibrated_threshold(pairs)).mean())
    return CalibratedRates(people=people, draws=CALIBRATIONS, fmr=spread(np.array(found)))


def _point(
    name: str,
    threshold: float,
    max_fmr: float | None,
    header: Header,
    pictures: HeldOutPictures,
    scored: Scored,
    conditions: Sequence[Sequence[str]],
) -> PointUnderChange:
    least = np.full(scored.table.shape, threshold)
    if max_fmr is not None:
        least = np.maximum(least, least_similarities(header.condition_rates, conditions, max_fmr, scored.likeness))
    one, other = pictures.impostor_pairs(scored.there)
    accepted, decided = scored.table[one, other] >= threshold, scored.table[one, other] >= least[one, other]
    both = scored.there[pictures.left] & scored.there[pictures.right]
    left, right, same = pictures.left[both], pictures.right[both], pictures.same[both]
    scores = scored.table[left, right]
    undecided = (scores >= threshold) & (scores < least[left, right])
    return PointUnderChange(
        name=name,
        threshold=threshold,
        fmr=float(accepted.mean()),
        interval=operating_points.rate_interval(accepted, pictures.owner[one], pictures.owner[other]),
        fnmr=float((scores[same] < threshold).mean()),
        fmr_decided=float(decided.mean()),
        undecided=float(undecided[same].mean()),
        undecided_of_all=float(undecided.mean()),
    )


def _conditions(header: Header, scored: Scored) -> list[list[str]]:
    """The conditions of each of the K pictures, as the service finds them."""
    if header.conditions is None:
        return [[] for _ in scored.there]
    rows = zip(scored.there, scored.features, scored.detected, strict=True)
    return [header.conditions.find(values, float(score)) if known else [] for known, values, score in rows]


def format_shared_changes(found: SharedChanges) -> str:
    """A table, one line a change: what each threshold does alone, and for operating points what is then decided."""
    names = [point.name for point in found.changes[0].points]
    rate, decided = f"{'FMR':>7} {'FNMR':>7}", f" {'decided':>7} {'undecided':>9}"
    lines = [
        f"{found.name}, pictures of {found.people} held-out people changed alike, by the threshold alone: FMR over all",
        "pairs of strangers, FNMR over genuine validation pairs. Decided: the FMR if undecided pairs are not accepted,",
        "undecided: the share of genuine pairs that are. One changed: accuracy at the default over "
        f"{found.pairs} validation pairs. Nothing is fitted on changes with a star.",
        " " * 56 + "  ".join(f"{name:<{15 if name == 'default' else 33}}" for name in names),
        f"{'change':<22} {'found':>6} {'noticed':>7} {'area':>6} {'one changed':>11}"
        + "".join("  " + rate + ("" if name == "default" else decided) for name in names),
    ]
    for each in found.changes:
        noticed = "" if each.noticed is None else f"{each.noticed:.1%}"
        name = each.change if each.fitted else f"{each.change} *"
        first = f"{name:<22} {each.found / each.pictures:>6.1%} {noticed:>7} {each.area:>6.4f}"
        first += f" {each.accuracy_of_one:>11.1%}"
        lines.append(first + "".join(_format_point(point) for point in each.points) + _format_calibrated(each))
    return "\n".join(lines)


def _format_calibrated(change: ChangeRates) -> str:
    if change.calibrated is None:
        return ""
    fmr = change.calibrated.fmr
    return f"  calibrated for 1%: {fmr.mean:.2%} (95% of draws below {fmr.high:.2%})"


def _format_point(point: PointUnderChange) -> str:
    alone = f"  {point.fmr:>7.2%} {point.fnmr:>7.2%}"
    return alone if point.name == "default" else f"{alone} {point.fmr_decided:>7.2%} {point.undecided:>9.2%}"
