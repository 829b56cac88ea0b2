"""A checkpoint's threshold, operating points and false match curve anew, from other people's pictures.

The tensors stay as they are, and with them every similarity and every stored embedding.

N pictures
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

import numpy as np
import torch
from torch import Tensor

from model.checkpoint import Description, Header
from model.errors import DataError
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.face_network import FaceNetwork
from model.similarity import Threshold
from training import metrics, scoring
from training.data import lists, splits
from training.data.album import Album, PairSet, name_of
from training.fitting import thresholds
from training.statistics import operating_points, rates, resampling, summary

MIN_PAIRS = 20
MAX_PICTURES = 3000
SPLIT = "calibration"
# How many of the pictures that are there twice an error names.
NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Scored pairs to measure on, and impostor pairs, maybe many more, with the people in them."""

    scores: rates.Scores
    same: rates.Labels
    impostor: rates.Scores
    left: resampling.Owners
    right: resampling.Owners

    def threshold(self, network: FaceNetwork) -> Threshold:
        """From which similarity on pairs are of one person. Even odds rest on every impostor pair, since what few of
        them were drawn would move them; the threshold of highest accuracy on as many pairs of either kind.
        """
        if not network.calibrated:
            return thresholds.choose_threshold(network, self.scores, self.same)
        genuine = self.scores[self.same]
        same = np.arange(len(genuine) + len(self.impostor)) < len(genuine)
        return thresholds.fit_even_odds(network, np.concatenate([genuine, self.impostor]), same)


def sample_of_list(network: FaceNetwork, config: PreprocessingConfig, album: Album, pairs: PairSet) -> Sample:
    """The pairs of a list, scored; its pairs of two people are the impostor pairs. Raises DataError for too few."""
    _require_enough(pairs)
    _require_distinct(album, torch.cat([pairs.left, pairs.right]).unique())
    scores, same = scoring.score_pairs(network, config, album, pairs)
    left, right = resampling.numbered(pairs.names_of(album.keys))
    return Sample(scores=scores, same=same, impostor=scores[~same], left=left[~same], right=right[~same])


def sample_of_people(network: FaceNetwork, config: PreprocessingConfig, album: Album) -> Sample:
    """Balanced pairs of all people of an album, and every impostor pair that they have. Raises DataError for too few.

    Of more than `MAX_PICTURES` pictures those of some people are taken, drawn at random.
    """
    people = some_people(lists.pictures_at_hand({name for name, _ in album.keys}, album.keys), MAX_PICTURES)
    pairs = splits.balanced_pairs(people, splits.HoldOut())
    _require_enough(pairs)
    _require_distinct(album, splits.owners(people)[0])
    scores, same = scoring.score_pairs(network, config, album, pairs)
    impostor, left, right = scoring.score_impostors(network, config, album, people)
    return Sample(scores=scores, same=same, impostor=impostor, left=left, right=right)


def some_people(people: Mapping[str, Tensor], most_pictures: int) -> splits.People:
    """All people, or where they have more pictures together than that, as many of them, drawn, as do not."""
    names = sorted(people)
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(0)).tolist()
    total, chosen = 0, {}
    for name in (names[i] for i in order):
        if total + len(people[name]) <= most_pictures:
            total += len(people[name])
            chosen[name] = people[name]
    return chosen


def recalibrated(header: Header, network: FaceNetwork, sample: Sample, pictures_sha256: str, code: str) -> Description:
    """What the checkpoint says of itself with the new threshold, rates and figures; `code` is the code that measures.

    Figures of other pairs that depend on the old threshold are left out, those that do not are kept.
    """
    split = f"{SPLIT}, pictures {pictures_sha256[:12]}"
    threshold = sample.threshold(network).model_copy(update={"split": split})
    kept = [
        metric for metric in header.metrics if metric.name != metrics.ACCURACY_AT_THRESHOLD and metric.split != SPLIT
    ]
    measured = summary.measure(SPLIT, sample.scores, sample.same, threshold.value)
    points, curve = operating_points.false_match_rates(sample.impostor, sample.left, sample.right, split)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    changed = {
        "threshold": threshold,
        "operating_points": points,
        "false_match_curve": curve,
        "metrics": (*kept, *measured.for_checkpoint(calibrated=network.calibrated)),
        "provenance": header.provenance.model_copy(update={"measured_with": code, "created_utc": now}),
    }
    return Description(**{name: changed.get(name, getattr(header, name)) for name in Description.model_fields})


def _require_enough(pairs: PairSet) -> None:
    genuine = int(pairs.same.sum())
    if min(genuine, len(pairs) - genuine) < MIN_PAIRS:
        raise DataError(
            f"to calibrate takes {MIN_PAIRS} pairs of one person and {MIN_PAIRS} of two, or more; "
            f"there are {genuine} and {len(pairs) - genuine}"
        )


def _require_distinct(album: Album, pictures: Tensor) -> None:
    """Raises DataError for a picture that is there twice: of one person it is the surest genuine pair, under two names
    the surest impostor pair.
    """
    known: dict[bytes, int] = {}
    twice = []
    for number in pictures.tolist():
        first = known.setdefault(sha256(album.pixels[number].numpy().tobytes()).digest(), number)
        if first != number:
            twice.append(f"{name_of(album.keys[first])} and {name_of(album.keys[number])}")
    if twice:
        more = f", and {len(twice) - NAMED} more" if len(twice) > NAMED else ""
        raise DataError(f"keep one of each, since they are the same picture: {', '.join(twice[:NAMED])}{more}")
