"""Fits the calibration, the threshold and the operating points of a network from elsewhere to the training people."""

from collections.abc import Mapping
from dataclasses import dataclass

from model.checkpoint import Description, Provenance
from model.errors import DataError
from model.imaging.canary import canary_sha256
from model.networks.configurations import OnnxConfig
from model.networks.face_network import FaceNetwork
from model.similarity import Calibration, FalseMatchCurve, Metric, OperatingPoint, Threshold, similarity
from training import fitting, scoring
from training.data.album import Album, People, owners
from training.measuring import recalibration, samples
from training.statistics import operating_points, summary

NEEDS = "what the network needs (--template, --values, --order, --output)"


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What was fitted, on `people` people with `pictures` pictures and `genuine` of their genuine pairs.

    `refused` says for each rate without an operating point why it has none.
    """

    calibration: Calibration
    threshold: Threshold
    operating_points: tuple[OperatingPoint, ...]
    false_match_curve: FalseMatchCurve | None
    metrics: tuple[Metric, ...]
    people: int
    pictures: int
    genuine: int
    refused: Mapping[str, str]

    def describe(self, name: str, config: OnnxConfig, album: Album, provenance: Provenance) -> Description:
        """The description of the checkpoint, for crops like the album's."""
        return Description(
            name=name,
            network=config,
            preprocessing=album.preprocessing,
            calibration=self.calibration,
            threshold=self.threshold,
            operating_points=self.operating_points,
            false_match_curve=self.false_match_curve,
            metrics=self.metrics,
            canary_photo_sha256=canary_sha256(album.preprocessing),
            provenance=provenance,
        )


def fit(network: FaceNetwork, album: Album, people: People, split: str) -> Fitted:
    """Fits a network that was trained on other people to these; `split` names them.

    Raises DataError if there are too few, or if genuine pairs score no higher than impostor pairs.
    """
    pictures, owner = owners(samples.some_people(people, samples.MAX_PICTURES))
    pairs = samples.some_pairs(owner)
    sample = samples.Sample(
        embeddings=scoring.embed_all(network, album, pictures).cpu().numpy(), owner=owner, pairs=pairs, every=True
    )
    if sample.genuine < recalibration.MIN_GENUINE:
        raise DataError(
            f"the calibration needs {recalibration.MIN_GENUINE} genuine pairs of the training people; there are "
            f"{sample.genuine}; name more people with --train-people"
        )
    scored = sample.score(network, Calibration())
    made_on = f"{sample.people:,} {split}, {len(pictures):,} pictures"
    try:
        calibration = recalibration.refit(scored, Calibration()).model_copy(update={"made_on": made_on})
    except DataError as error:
        raise DataError(f"{error}; if they are right, check {NEEDS}, and that it is a face network") from error
    impostor, left, right = similarity(calibration.adjust(scored.impostor)), scored.left, scored.right
    points, curve = operating_points.false_match_rates(impostor, left, right, split)
    points, refused = operating_points.supported(points, left, right)
    threshold = fitting.even_odds(sample.genuine + len(impostor)).model_copy(update={"split": split})
    similarities = similarity(calibration.adjust(scored.logits))
    found = summary.measure(recalibration.SPLIT, similarities, scored.same, threshold.value)
    return Fitted(
        calibration=calibration,
        threshold=threshold,
        operating_points=points,
        false_match_curve=curve,
        metrics=found.for_checkpoint(calibrated=True),
        people=sample.people,
        pictures=len(pictures),
        genuine=sample.genuine,
        refused=refused,
    )
