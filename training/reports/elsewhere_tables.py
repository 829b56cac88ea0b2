"""Tables of what a run's thresholds do on other people's photographs, and of calibrations on some of them."""

from collections.abc import Iterator, Mapping, Sequence

from training.reports import markdown
from training.runs.records import CalibrationDraws, Elsewhere, Outcome, RatesAtThreshold, Share

INTRODUCTION = """\
The same weights and thresholds on people whom the network was not trained on. The rates are over all pairs of their
pictures, with 95% intervals over people. Of several faces the largest counts, as in the service; on LFW the middle one.
LFW's held-out people chose the thresholds, so that their rates keep what the thresholds promise; they stand here for
comparison.

- **Most similar strangers.** Strangers who look alike pass far more often than the average says. For each person the
  most similar twentieth of the other people (at least one) is found by one half of their pictures, and the FMR is
  measured on the other half; then the halves change places. Every person has the same weight.
- **As decided** only `same` counts as accepted. A pair whose pictures share a condition, such as a blur or one-sided
  light, can be undecided at an operating point: "undecided" is that share of the genuine pairs.
- **Mean length** is that of the mean embedding of pictures of different people. The longer it is, the more the pictures
  have in common, such as camera, crop or light, and the more strangers look alike.
- **Accuracy** is at that threshold if half of the pairs are genuine, 1 - (FMR + FNMR) / 2."""

CALIBRATIONS = """\
Thresholds of `calibrate` from some people of a set, measured on all pictures of the others: the true FMR and FNMR at
the operating point for 1%, as mean and standard deviation over draws of these people, and the range of the middle 90%.
"Written" is the share of draws in which `calibrate` has enough people to write this point. "Centred" subtracts the mean
embedding of those drawn."""

EVEN_ODDS = """\
With at least 20 genuine pairs `calibrate` also refits scale and bias, so that the similarity is a probability again:
FMR and FNMR at the default threshold, before and after."""


def format_elsewhere(found: Mapping[str, Sequence[Elsewhere]]) -> list[str]:
    """The sections on the measurements of each run; none without measurements."""
    every = [(run, each) for run, several in found.items() for each in several]
    if not every:
        return []
    heads = (
        ["run", "people", "n people", "pictures", "genuine pairs", "impostor pairs", "mean length", "area under ROC"],
        ["run", "people", "asked", "threshold", "FMR", "as decided", "FMR, most similar strangers",
         "FNMR", "undecided", "accuracy"],
        ["run", "people", "calibrated on", "draws", "FMR as shipped", "calibrated", "centred", "FNMR as shipped",
         "calibrated", "centred", "written"],
        ["run", "people", "calibrated on", "FMR as shipped", "refitted", "FNMR as shipped", "refitted"],
    )  # fmt: skip
    sets, rates = ([row for run, each in every for row in rows(run, each)] for rows in (_set_rows, _rates_rows))
    draws, odds = ([row for run, each in every for row in rows(run, each)] for rows in (_draws_rows, _odds_rows))
    parts = ["## Other people and cameras", INTRODUCTION, markdown.table(heads[0], sets)]
    parts += [markdown.table(heads[1], rates)]
    parts += ["### After calibration", CALIBRATIONS, markdown.table(heads[2], draws)] if draws else []
    return parts + ([EVEN_ODDS, markdown.table(heads[3], odds)] if odds else [])


def name_of(found: Elsewhere) -> str:
    return f"{found.images}, held-out people" if found.held_out else found.images


def _set_rows(run: str, found: Elsewhere) -> Iterator[markdown.Row]:
    counts = [f"{count:,}" for count in (found.people, found.pictures, found.genuine, found.impostor)]
    length = "" if found.length is None else f"{found.length:.2f}"
    area = (
        f"{found.area.value:.4f} ({found.area.interval[0]:.4f} to {found.area.interval[1]:.4f})" if found.area else ""
    )
    yield [run, name_of(found), *counts, length, area]


def _rates_rows(run: str, found: Elsewhere) -> Iterator[markdown.Row]:
    for each in found.rates:
        asked = "the default" if each.max_fmr is None else f"`max_fmr={each.max_fmr:g}`"
        shares = [_share(share) for share in (each.fmr, each.fmr_decided, each.fmr_of_similar, each.fnmr)]
        undecided = "" if each.undecided is None else f"{each.undecided:.1%}"
        yield [run, name_of(found), asked, f"{each.threshold:.4f}", *shares, undecided, _accuracy(each)]


def _accuracy(found: RatesAtThreshold) -> str:
    return f"{1 - (found.fmr.value + found.fnmr.value) / 2:.1%}" if found.fnmr else ""


def _share(share: Share | None) -> str:
    return f"{share.value:.2%} ({share.interval[0]:.2%} to {share.interval[1]:.2%})" if share else ""


def _draws_rows(run: str, found: Elsewhere) -> Iterator[markdown.Row]:
    for draws in found.calibrations:
        kinds = (draws.shipped, draws.calibrated, draws.calibrated_centred)
        cells = [run, name_of(found), _calibrated_on(draws), str(draws.draws), *map(_fmr, kinds), *map(_fnmr, kinds)]
        yield [*cells, f"{draws.supported:.0%}"]


def _odds_rows(run: str, found: Elsewhere) -> Iterator[markdown.Row]:
    for draws in found.calibrations:
        kinds = (draws.default, draws.default_refitted)
        if any(kinds):
            yield [run, name_of(found), _calibrated_on(draws), *map(_fmr, kinds), *map(_fnmr, kinds)]


def _calibrated_on(draws: CalibrationDraws) -> str:
    return f"{draws.people}, {'all pictures' if draws.every_picture else 'one picture each'}"


def _fmr(outcome: Outcome | None) -> str:
    if outcome is None:
        return ""
    fmr = outcome.fmr
    return f"{fmr.mean:.2%} ± {fmr.deviation:.2%} ({fmr.low:.2%} to {fmr.high:.2%})"


def _fnmr(outcome: Outcome | None) -> str:
    return f"{outcome.fnmr.mean:.1%} ± {outcome.fnmr.deviation:.1%}" if outcome and outcome.fnmr else ""
