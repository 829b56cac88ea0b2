"""The part of the accuracy page on networks that were trained elsewhere, on other people's photographs."""

from collections.abc import Sequence
from pathlib import Path

from training import metrics
from training.reports import markdown
from training.runs import records, results
from training.runs.changed import ChangeRates, PointUnderChange, SharedChanges

FOLDER = "outside"
EVALUATION_FILE = "evaluation.json"
CHANGES_FILE = "shared-changes.json"

INTRODUCTION = """\
Trained elsewhere, on photographs of many other people, and made into checkpoints by `import` with scale, bias, the
threshold of 0.5 and operating points fitted to people of DevTrain alone. LFW's category for them is "unrestricted,
labeled outside data", so they are in no table above; their training data may have LFW's people in other photographs.
facepair does not ship them. The metrics are those of the tables above, with intervals over people."""


CHANGES = """\
The same change in all pictures of LFW's held-out people, as [photographs.md](photographs.md) says, at `max_fmr=0.01`.
Strangers are accepted by the threshold alone; "as decided" counts only `same`, since the checkpoint finds the condition
that both pictures are in. Nothing is fitted on changes with a star. The last columns are accuracies at the default
threshold, if only one picture of each pair is changed. A cell is empty where a change was not measured."""
POINT = "fmr_1e-2"


def format_parts(folder: Path) -> list[str]:
    """The title, an introduction and tables; nothing if no such network was measured. Raises DataError."""
    found = [
        (
            results.read_record(path, records.Variant),
            results.read_record(path.with_name(results.ALL_PAIRS_FILE), records.AllPairsRates),
        )
        for path in sorted(folder.glob(f"{FOLDER}/*/{EVALUATION_FILE}"))
    ]
    if not found:
        return []
    head = ["network", "accuracy", metrics.AREA, metrics.EER, metrics.FNMR_AT_1, "n"]
    head += ["FNMR at FMR 0.1%, all pairs", "each person alike"]
    return ["## Outside data", INTRODUCTION, markdown.table(head, [_row(*each) for each in found]), *_changes(folder)]


def _changes(folder: Path) -> list[str]:
    """What shared changes do to networks from elsewhere, beside our own; nothing if that was not measured."""
    ours, theirs = (
        [results.read_record(path, SharedChanges) for path in sorted(folder.glob(f"{where}/{CHANGES_FILE}"))]
        for where in ("*", f"{FOLDER}/*")
    )
    if not theirs:
        return []
    every = [*ours, *theirs]
    head = ["change", *(f"strangers accepted: {each.name}" for each in every)]
    for each in theirs:
        head += [f"{each.name}: as decided", "genuine pairs rejected", "undecided"]
    head += [f"right if one picture is changed: {each.name}" for each in every]
    rows = [_changes_row(number, every, theirs) for number in range(len(theirs[0].changes))]
    return ["### Pictures that share a condition", CHANGES, markdown.table(head, rows)]


def _changes_row(number: int, every: Sequence[SharedChanges], theirs: Sequence[SharedChanges]) -> markdown.Row:
    change = theirs[0].changes[number]
    measured = [each.of(change.change) for each in every]
    cells = [change.change if change.fitted else f"{change.change} *"]
    cells += [f"{_point(each).fmr:.1%}" if each else "" for each in measured]
    for each in measured[-len(theirs) :]:
        point = _point(each) if each else None
        cells += [f"{share:.1%}" for share in (point.fmr_decided, point.fnmr, point.undecided)] if point else [""] * 3
    return cells + [f"{each.accuracy_of_one:.1%}" if each else "" for each in measured]


def _point(found: ChangeRates) -> PointUnderChange:
    [point] = [each for each in found.points if each.name == POINT]
    return point


def read_elsewhere(folder: Path) -> dict[str, Sequence[records.Elsewhere]]:
    """What `elsewhere` measured of each network, by its folder's name."""
    return {
        each.name: [
            results.read_record(path, records.Elsewhere)
            for path in sorted(each.glob(f"{results.ELSEWHERE_FOLDER}/*.json"))
        ]
        for each in sorted(folder.glob(f"{FOLDER}/*"))
    }


def _row(found: records.Variant, all_pairs: records.AllPairsRates) -> markdown.Row:
    over_people = {metric.name: metric for metric in found.over_people}
    cells = [found.name, markdown.percent(over_people[metrics.ACCURACY_AT_THRESHOLD])]
    cells += [markdown.area(over_people[metrics.AREA])]
    cells += [markdown.percent(over_people[name]) for name in (metrics.EER, metrics.FNMR_AT_1)]
    return [*cells, str(found.metrics[0].pairs), *at_low_fmr(all_pairs.rates)]


def at_low_fmr(rates: Sequence[records.RateAt]) -> list[str]:
    """The FNMR at an FMR of 0.1% over all pairs, and with every person alike; both empty if it is unknown."""
    for rate in rates:
        if rate.max_fmr == 0.001:
            both = ((rate.fnmr, rate.interval), (rate.even_fnmr, rate.even_interval))
            return [f"{value:.2%} ({low:.1%} to {high:.1%})" for value, (low, high) in both]
    return ["", ""]
