"""Fits a checkpoint's calibration, thresholds and rates to photographs of other people.

The tensors do not change, so stored embeddings stay valid.

P pairs, I impostor pairs
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from model.checkpoint import Checkpoint, Description, Header
from model.conditions import ALIKE, likeness_table
from model.errors import DataError
from model.networks.face_network import FaceNetwork
from model.similarity import Calibration, Metric, OperatingPoint, Threshold, similarity
from training import fitting, metrics
from training.conditions.condition_rates import rates_of_alike
from training.measuring.samples import Sample, Scored, mean_length, mean_of_people
from training.statistics import calibration, operating_points, rates, similar_people, summary

# With fewer genuine pairs scale and bias stay as they are.
MIN_GENUINE = 20
SPLIT = "calibration"
# These depend on the order of similarities alone, so they survive another scale and bias.
OF_THE_ORDER = {metrics.AREA, metrics.EER, metrics.FNMR_AT_1}


@dataclass(frozen=True, kw_only=True)
class Recalibration:
    """A checkpoint's new description, and what its former operating points do on the pictures.

    `default_fmr` has the shares of strangers that the former and the new default threshold accept. `refused` says for
    each rate without an operating point why it has none. `length` is that of the mean embedding of different people,
    None for embeddings without length 1.
    """

    description: Description
    former: tuple[OperatingPoint, ...]
    default_fmr: tuple[float, float]
    refused: Mapping[str, str]
    refitted: bool
    length: float | None


def recalibrated(
    checkpoint: Checkpoint,
    network: FaceNetwork,
    sample: Sample,
    pictures_sha256: str,
    code: str,
    *,
    centre: bool = False,
) -> Recalibration:
    """Fits the checkpoint to the sample; `network` is the checkpoint's without calibration, `code` what measures.

    Metrics of other pairs are kept if they still hold. Raises DataError if there are too few people for anything, or if
    genuine pairs score no higher than impostor pairs.
    """
    header, split = checkpoint.header, f"{SPLIT}, pictures {pictures_sha256[:12]}"
    before = sample.score(network, header.calibration)
    fitted = _fit(header, network, sample, before, centre=centre)
    made_on = f"{sample.people:,} people, {len(sample.owner):,} pictures, SHA-256 {pictures_sha256[:12]}"
    left, right, impostor = before.left, before.right, fitted.impostor
    points, curve = operating_points.false_match_rates(impostor, left, right, split)
    points, refused = operating_points.supported(points, left, right)
    points = fitted.with_similar_strangers(points, sample)
    threshold = _threshold(header, network, sample, fitted, split)
    if sample.genuine < MIN_GENUINE and not points:
        without = f" without {sample.copies} of a picture and its copy" if sample.copies else ""
        raise DataError(
            f"calibration needs {MIN_GENUINE} genuine pairs, or enough people for an operating point: there are "
            f"{sample.genuine} genuine pairs{without}, and {next(iter(refused.values()))}"
        )
    changed = {
        "calibration": fitted.calibration.model_copy(update={"made_on": made_on}),
        "threshold": threshold,
        "operating_points": points,
        "false_match_curve": curve,
        "metrics": (*_kept(header, fitted.calibration), *_measured(network, sample, fitted, threshold)),
        **_conditions(header, fitted, sample, split),
        "provenance": header.provenance.model_copy(
            update={"measured_with": code, "created_utc": datetime.now(UTC).isoformat(timespec="seconds")}
        ),
    }
    description = {name: changed.get(name, getattr(header, name)) for name in Description.model_fields}
    strangers = similarity(header.calibration.adjust(before.impostor))
    return Recalibration(
        description=Description(**description),
        former=operating_points.measured_again(header.operating_points, strangers, left, right, split),
        default_fmr=(float((strangers >= header.threshold.value).mean()), float((impostor >= threshold.value).mean())),
        refused=refused,
        refitted=fitted.refitted,
        length=mean_length(sample.embeddings, sample.owner) if network.unit_length else None,
    )


def _conditions(header: Header, fitted: "_Fitted", sample: Sample, split: str) -> dict[str, object]:
    """The conditions for a new scale and bias. With another mean their rates no longer hold, and they are left out.

    Rates of pictures that are alike are measured again if the sample has enough such pairs.
    """
    new, old = fitted.calibration, header.calibration
    if new.mean != old.mean:
        return {"conditions": None, "condition_rates": ()}
    rates = [each.after(old, new) for each in header.condition_rates]
    if any(each.likeness is not None for each in rates):
        table = likeness_table(sample.embeddings, header.network.unit_parts)
        assert table is not None
        scored, likeness = fitted.scored, table[sample.impostor_places()]
        measured = rates_of_alike(fitted.impostor, likeness, scored.left, scored.right, split)
        rates = [next(iter(measured), each) if each.condition == ALIKE else each for each in rates]
    return {"condition_rates": tuple(rates)}


@dataclass(frozen=True, kw_only=True)
class _Fitted:
    """A calibration, the logits that it adjusts, and whether scale and bias are new."""

    calibration: Calibration
    scored: Scored
    refitted: bool

    @property
    def similarities(self) -> rates.Scores:
        """Of the sample's pairs, (P,)."""
        return similarity(self.calibration.adjust(self.scored.logits))

    @property
    def impostor(self) -> rates.Scores:
        """Of the sample's impostor pairs, (I,)."""
        return similarity(self.calibration.adjust(self.scored.impostor))

    def with_similar_strangers(self, points: tuple[OperatingPoint, ...], sample: Sample) -> tuple[OperatingPoint, ...]:
        """The points with their rates over most similar strangers, if all pairs of the sample's people count."""
        if not sample.every:
            return points
        logits = self.calibration.adjust(self.scored.table.astype(np.float64)).astype(np.float32)
        return similar_people.with_similar_strangers(points, logits, sample.owner.numpy())


def _fit(header: Header, network: FaceNetwork, sample: Sample, before: Scored, *, centre: bool) -> _Fitted:
    """The calibration; `before` has the logits with the former mean subtracted. Raises DataError."""
    if centre and not network.unit_length:
        raise DataError(
            f"{header.name}: its embeddings have no length 1, so nothing can be centred; leave out --centre"
        )
    unit_parts = header.network.unit_parts
    if centre:
        centring = Calibration.centring(mean_of_people(sample.embeddings, sample.owner), unit_parts)
        scored = sample.score_without_own_mean(network, unit_parts)
    else:
        centring = Calibration()
        scored = sample.score(network, Calibration()) if header.calibration.mean else before
    refitted = network.calibrated and sample.genuine >= MIN_GENUINE
    if refitted:
        fitted = refit(scored, centring)
    else:
        fitted = header.calibration.model_copy(update={"mean": centring.mean, "unit_parts": centring.unit_parts})
    return _Fitted(calibration=fitted, scored=scored, refitted=refitted)


def _measured(network: FaceNetwork, sample: Sample, fitted: _Fitted, threshold: Threshold) -> tuple[Metric, ...]:
    """The metrics of the sample's pairs, none with too few genuine pairs."""
    if sample.genuine < MIN_GENUINE:
        return ()
    found = summary.measure(SPLIT, fitted.similarities, fitted.scored.same, threshold.value)
    return found.for_checkpoint(calibrated=network.calibrated)


def refit(scored: Scored, centring: Calibration) -> Calibration:
    """`centring` with the scale and bias that make the similarity the probability of "same person" for even odds.

    Raises DataError if genuine pairs score no higher than impostor pairs.
    """
    genuine = scored.logits[scored.same]
    # All impostor pairs, since even odds would change with a small sample of them.
    every = np.concatenate([genuine, scored.impostor])
    scale, bias = calibration.platt(every, np.arange(len(every)) < len(genuine))
    if scale <= 0:
        raise DataError(
            f"the {len(genuine)} genuine pairs score no higher than the impostor pairs; check that each folder has "
            "photographs of one person, and no two folders the same person"
        )
    return centring.model_copy(update={"scale": scale, "bias": bias})


def _threshold(header: Header, network: FaceNetwork, sample: Sample, fitted: _Fitted, split: str) -> Threshold:
    """With genuine pairs the threshold of even odds or of highest accuracy, else that of the former false match rate.

    Without genuine pairs the threshold stays if the former rate is unknown or 1, or too low for so few people.
    """
    impostor = fitted.impostor
    if sample.genuine >= MIN_GENUINE:
        if network.calibrated:
            found = fitting.even_odds(sample.genuine + len(impostor))
        else:
            found = fitting.choose_threshold(network, fitted.similarities, sample.same)
        return found.model_copy(update={"split": split})
    # A rate that an earlier calibration chose the threshold for is kept: read off its curve, it would grow each time.
    rate = header.threshold.fmr
    if rate is None and header.false_match_curve:
        rate = header.false_match_curve.rate_at(header.threshold.value)
    if rate is not None and rate < 1:
        value = operating_points.lowest_threshold(impostor, rate)
        if value is not None and sample.people >= operating_points.people_for(rate):
            method = f"the false match rate of the former threshold, {rate:.2%}"
            return Threshold(value=value, method=method, split=split, pairs=len(impostor), fmr=rate)
    return header.threshold


def _kept(header: Header, fitted: Calibration) -> tuple[Metric, ...]:
    others, former = [metric for metric in header.metrics if metric.split != SPLIT], header.calibration
    if fitted.mean != former.mean:
        return ()
    if (fitted.scale, fitted.bias) != (former.scale, former.bias):
        return tuple(metric for metric in others if metric.name in OF_THE_ORDER)
    return tuple(metric for metric in others if metric.name != metrics.ACCURACY_AT_THRESHOLD)
