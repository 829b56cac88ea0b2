"""Fits a checkpoint's calibration, thresholds and rates to photographs of other people.

The tensors do not change, so stored embeddings stay valid.

P pairs, I impostor pairs
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from model.checkpoint import Checkpoint, Description, Header
from model.errors import DataError
from model.networks.face_network import FaceNetwork
from model.similarity import Calibration, Metric, OperatingPoint, Threshold, similarity
from training import fitting, metrics
from training.measuring.samples import Sample, Scored, mean_length, mean_of_people
from training.statistics import calibration, operating_points, rates, summary

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
    if centre and not network.unit_length:
        raise DataError(
            f"{header.name}: its embeddings have no length 1, so nothing can be centred; leave out --centre"
        )
    mean = mean_of_people(sample.embeddings, sample.owner) if centre else ()
    scored = _score(network, sample, header, before, centre=centre)
    refitted = network.calibrated and sample.genuine >= MIN_GENUINE
    fitted = refit(scored, mean) if refitted else header.calibration.model_copy(update={"mean": mean})
    impostor, left, right = similarity(fitted.adjust(scored.impostor)), scored.left, scored.right
    points, curve = operating_points.false_match_rates(impostor, left, right, split)
    points, refused = operating_points.supported(points, left, right)
    similarities = similarity(fitted.adjust(scored.logits))
    threshold = _threshold(header, network, sample, similarities, impostor, split)
    measured: tuple[Metric, ...] = ()
    if sample.genuine >= MIN_GENUINE:
        found = summary.measure(SPLIT, similarities, scored.same, threshold.value)
        measured = found.for_checkpoint(calibrated=network.calibrated)
    elif not points:
        raise DataError(
            f"calibration needs {MIN_GENUINE} genuine pairs, or enough people for an operating point: there are "
            f"{sample.genuine} genuine pairs, and {next(iter(refused.values()))}"
        )
    changed = {
        "calibration": fitted,
        "threshold": threshold,
        "operating_points": points,
        "false_match_curve": curve,
        "metrics": (*_kept(header, fitted), *measured),
        "provenance": header.provenance.model_copy(
            update={"measured_with": code, "created_utc": datetime.now(UTC).isoformat(timespec="seconds")}
        ),
    }
    before_impostor = similarity(header.calibration.adjust(before.impostor))
    return Recalibration(
        description=Description(
            **{name: changed.get(name, getattr(header, name)) for name in Description.model_fields}
        ),
        former=operating_points.measured_again(header.operating_points, before_impostor, left, right, split),
        default_fmr=(
            float((before_impostor >= header.threshold.value).mean()),
            float((impostor >= threshold.value).mean()),
        ),
        refused=refused,
        refitted=refitted,
        length=mean_length(sample.embeddings, sample.owner) if network.unit_length else None,
    )


def _score(network: FaceNetwork, sample: Sample, header: Header, before: Scored, *, centre: bool) -> Scored:
    if centre:
        return sample.score_without_own_mean(network)
    return sample.score(network, Calibration()) if header.calibration.mean else before


def refit(scored: Scored, mean: tuple[float, ...]) -> Calibration:
    """Scale and bias that make the similarity the probability of "same person" for even odds.

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
    return Calibration(mean=mean, scale=scale, bias=bias)


def _threshold(
    header: Header,
    network: FaceNetwork,
    sample: Sample,
    similarities: rates.Scores,
    impostor: rates.Scores,
    split: str,
) -> Threshold:
    """With genuine pairs the threshold of even odds or of highest accuracy, else that of the former false match rate.

    Without genuine pairs the threshold stays if the former rate is unknown, or too low for so few people.
    """
    if sample.genuine >= MIN_GENUINE:
        if network.calibrated:
            found = fitting.even_odds(sample.genuine + len(impostor))
        else:
            found = fitting.choose_threshold(network, similarities, sample.same)
        return found.model_copy(update={"split": split})
    # A rate that an earlier calibration chose the threshold for is kept: read off its curve, it would grow each time.
    rate = header.threshold.fmr
    if rate is None and header.false_match_curve:
        rate = header.false_match_curve.rate_at(header.threshold.value)
    if rate is not None:
        value = operating_points.lowest_threshold(impostor, rate)
        if value is not None and sample.people >= operating_points.people_for(rate):
            method = f"the false match rate of the former threshold, {rate:.2%}"
            return Threshold(value=value, method=method, split=split, pairs=len(impostor), fmr=rate)
    return header.threshold


def _kept(header: Header, fitted: Calibration) -> tuple[Metric, ...]:
    others = [metric for metric in header.metrics if metric.split != SPLIT]
    if fitted.mean != header.calibration.mean:
        return ()
    if fitted != header.calibration:
        return tuple(metric for metric in others if metric.name in OF_THE_ORDER)
    return tuple(metric for metric in others if metric.name != metrics.ACCURACY_AT_THRESHOLD)
