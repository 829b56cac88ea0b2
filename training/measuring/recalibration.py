"""Measures a checkpoint's threshold, operating points and false match curve again on other people's pictures.

The tensors do not change, so similarities and stored embeddings stay valid.
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
from model.networks.face_network import FaceNetwork
from model.similarity import Threshold
from training import fitting, metrics, scoring
from training.data import datasets, lists
from training.data.album import Album, PairSet, People, name_of, owners
from training.statistics import operating_points, rates, resampling, summary

MIN_PAIRS = 20
MAX_PICTURES = 3000
SPLIT = "calibration"
# How many pairs of identical pictures an error lists.
NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Scored pairs to measure on, and impostor scores, possibly of more pairs, with the numbers of their people."""

    scores: rates.Scores
    same: rates.Labels
    impostor: rates.Scores
    left: resampling.Owners
    right: resampling.Owners

    def threshold(self, network: FaceNetwork) -> Threshold:
        """The threshold at even odds for a calibrated network, otherwise the threshold of highest accuracy."""
        if not network.calibrated:
            return fitting.choose_threshold(network, self.scores, self.same)
        # All impostor pairs, since even odds would change with a small sample of them.
        genuine = self.scores[self.same]
        same = np.arange(len(genuine) + len(self.impostor)) < len(genuine)
        return fitting.fit_even_odds(network, np.concatenate([genuine, self.impostor]), same)


def sample_of_list(network: FaceNetwork, album: Album, pairs: PairSet) -> Sample:
    """Scores the pairs of a list. Raises DataError for too few pairs or for identical pictures."""
    _require_enough(pairs)
    _require_distinct(album, torch.cat([pairs.left, pairs.right]).unique())
    scores, same = scoring.score_pairs(network, album, pairs)
    left, right = resampling.numbered(pairs.names_of(album.keys))
    return Sample(scores=scores, same=same, impostor=scores[~same], left=left[~same], right=right[~same])


def sample_of_people(network: FaceNetwork, album: Album) -> Sample:
    """Scores balanced pairs and all impostor pairs of at most `MAX_PICTURES` pictures; raises as `sample_of_list`."""
    people = some_people(lists.pictures_at_hand({name for name, _ in album.keys}, album), MAX_PICTURES)
    pairs = datasets.balanced_pairs(people, datasets.HoldOut())
    _require_enough(pairs)
    _require_distinct(album, owners(people)[0])
    scores, same = scoring.score_pairs(network, album, pairs)
    impostor, left, right = scoring.score_impostors(network, album, people)
    return Sample(scores=scores, same=same, impostor=impostor, left=left, right=right)


def some_people(people: Mapping[str, Tensor], most_pictures: int) -> People:
    """All people, or people drawn at random with at most `most_pictures` pictures together."""
    names = sorted(people)
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(0)).tolist()
    total, chosen = 0, {}
    for name in (names[i] for i in order):
        if total + len(people[name]) <= most_pictures:
            total += len(people[name])
            chosen[name] = people[name]
    return chosen


def recalibrated(header: Header, network: FaceNetwork, sample: Sample, pictures_sha256: str, code: str) -> Description:
    """The checkpoint's description with the new threshold, rates and metrics; `code` is the version that measures.

    Metrics of other pairs are kept, except those that depend on the old threshold.
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
            f"calibration needs at least {MIN_PAIRS} genuine and {MIN_PAIRS} impostor pairs; "
            f"there are {genuine} and {len(pairs) - genuine}"
        )


def _require_distinct(album: Album, pictures: Tensor) -> None:
    """Raises DataError for identical pictures, which score highest both as genuine and as impostor pairs."""
    known: dict[bytes, int] = {}
    twice = []
    for number in pictures.tolist():
        first = known.setdefault(sha256(album.pixels[number].numpy().tobytes()).digest(), number)
        if first != number:
            twice.append(f"{name_of(album.keys[first])} and {name_of(album.keys[number])}")
    if twice:
        more = f", and {len(twice) - NAMED} more" if len(twice) > NAMED else ""
        raise DataError(f"some pictures are identical; keep one of each: {', '.join(twice[:NAMED])}{more}")
