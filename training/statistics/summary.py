"""Computes all metrics that are reported for scored pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from model.similarity import Metric, OperatingPoint
from training import metrics
from training.statistics import calibration, rates, resampling
from training.statistics.rates import Estimate, Labels, Scores, Tallies
from training.statistics.resampling import Owners, Statistic

WITHOUT_THRESHOLD: dict[str, Statistic] = {
    metrics.AREA: Tallies.area_under_roc,
    metrics.EER: Tallies.equal_error_rate,
    metrics.FNMR_AT_1: partial(Tallies.fnmr_at_fmr, max_fmr=0.01),
}


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The metrics of P pairs.

    `over_pairs` has 95% intervals for other pairs of the same people: Wilson's for accuracies, otherwise a bootstrap's.
    `over_people` repeats those metrics that have an interval, with intervals for other people; it is empty if the
    people are unknown. `at_points` has the FMR and the FNMR at each operating point, with Wilson's intervals.
    """

    over_pairs: tuple[Metric, ...]
    over_people: tuple[Metric, ...] = ()
    at_points: tuple[Metric, ...] = ()

    def for_checkpoint(self, *, calibrated: bool) -> tuple[Metric, ...]:
        """The metrics for a checkpoint's header: `over_pairs`, with the calibration error only if it is calibrated."""
        return tuple(each for each in self.over_pairs if calibrated or each.name != metrics.CALIBRATION_ERROR)


def measure(
    split: str,
    scores: Scores,
    same: Labels,
    threshold: float,
    *,
    people: tuple[Owners, Owners] | None = None,
    points: Sequence[OperatingPoint] = (),
) -> Summary:
    """All metrics of similarities float64 (P,) with labels bool (P,) and, if known, both people's numbers int64 (P,).

    For calibrated similarities the squared error is the Brier score.
    """

    def metric(name: str, found: Estimate | float, pairs: int = len(scores)) -> Metric:
        if isinstance(found, Estimate):
            return Metric(name=name, split=split, value=found.value, pairs=pairs, interval=(found.low, found.high))
        return Metric(name=name, split=split, value=found, pairs=pairs)

    over_pairs = _over_pairs(scores, same, threshold)
    over_people = _over_people(scores, same, *people, threshold) if people else {}
    return Summary(
        over_pairs=tuple(metric(name, found) for name, found in over_pairs.items()),
        over_people=tuple(metric(name, found) for name, found in over_people.items()),
        at_points=tuple(
            metric(f"{rate} at {point.name}", rates.wilson(int(wrong.sum()), len(wrong)), len(wrong))
            for point in points
            for rate, wrong in (
                ("FMR", scores[~same] >= point.threshold),
                ("FNMR", scores[same] < point.threshold),
            )
        ),
    )


def _over_pairs(scores: Scores, same: Labels, threshold: float) -> dict[str, Estimate | float]:
    return {
        metrics.ACCURACY_AT_HALF: rates.accuracy(scores, same, 0.5),
        metrics.ACCURACY_AT_THRESHOLD: rates.accuracy(scores, same, threshold),
        **resampling.bootstrap(WITHOUT_THRESHOLD, scores, same),
        metrics.CROSS_ENTROPY: rates.cross_entropy(scores, same),
        metrics.SQUARED_ERROR: rates.squared_error(scores, same),
        metrics.CALIBRATION_ERROR: calibration.calibration_error(scores, same),
    }


def _over_people(scores: Scores, same: Labels, left: Owners, right: Owners, threshold: float) -> dict[str, Estimate]:
    genuine = float(same.mean())
    statistics: dict[str, Statistic] = {
        metrics.ACCURACY_AT_HALF: partial(_share_right, threshold=0.5, genuine=genuine),
        metrics.ACCURACY_AT_THRESHOLD: partial(_share_right, threshold=threshold, genuine=genuine),
        **WITHOUT_THRESHOLD,
    }
    return resampling.bootstrap_over_people(statistics, scores, same, left, right)


def _share_right(tallies: Tallies, threshold: float, genuine: float) -> Scores:
    """The accuracy (R,) with the share `genuine` of genuine pairs, however many of them were drawn."""
    accepted = tallies.scores >= threshold
    right_genuine = tallies.genuine[:, accepted].sum(1) / tallies.genuine.sum(1)
    right_impostor = tallies.impostor[:, ~accepted].sum(1) / tallies.impostor.sum(1)
    found: Scores = genuine * right_genuine + (1 - genuine) * right_impostor
    return found
