"""Pictures in known conditions, to fit detectors on: changed pictures of training people, and their features.

N pictures, F features
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from model.arrays import Features
from model.imaging.crop_features import features
from training.data.album import Key
from training.data.change import Change, generator_for
from training.data.changed import ChangedPictures, prepare_changed, prepare_unchanged
from training.data.datasets import PeopleData
from training.data.source import DataSource

# Pictures of different training people: those that are taken unchanged, and of these for each change.
UNCHANGED, CHANGED = 2000, 400
# One person in four is left out of some fits, for choosing limits.
LEFT_OUT = 4


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Features float32 (N, F) and the condition of each picture, "" for the unchanged.

    `left_out` (N,) are the pictures of some people, for choosing limits of what is fitted on the others.
    """

    features: Features
    conditions: NDArray[np.str_]
    left_out: NDArray[np.bool_]

    def of(self, chosen: NDArray[np.bool_]) -> Self:
        """The chosen pictures, bool (N,)."""
        return replace(
            self,
            features=self.features[chosen],
            conditions=self.conditions[chosen],
            left_out=self.left_out[chosen],
        )


def features_of(pictures: ChangedPictures) -> Features:
    """float32 (N, F), as the service computes them."""
    config = pictures.album.preprocessing
    assert config.alignment
    template = config.alignment.points(config.side_px, config.crop)
    pixels = pictures.album.pixels[:].numpy()
    rows = zip(pixels, pictures.landmarks, pictures.sizes.tolist(), pictures.scores, strict=True)
    return np.stack(
        [features(crop, points, template, (size[0], size[1]), float(score)) for crop, points, size, score in rows]
    )


def training_examples(source: DataSource, data: PeopleData, changes: Sequence[Change]) -> Examples:
    """Pictures of training people, one of each, unchanged and with changes whose parameters are drawn for each."""
    unchanged = prepare_unchanged(source, data.album, _some_pictures(data))
    rows, conditions, people = [features_of(unchanged)], [""] * len(unchanged.scores), [*unchanged.album.keys]
    for change in changes:
        order = generator_for(0, change.name).permutation(len(unchanged.album.keys))
        keys = [unchanged.album.keys[number] for number in order[:CHANGED]]
        pictures = prepare_changed(source, unchanged, keys, change, "drawn")
        rows.append(features_of(pictures))
        conditions += [change.condition] * len(pictures.scores)
        people += pictures.album.keys
    return Examples(
        features=np.concatenate(rows),
        conditions=np.array(conditions),
        left_out=unchanged.indices(people) % LEFT_OUT == 0,
    )


def _some_pictures(data: PeopleData) -> list[Key]:
    """A picture of each of at most `UNCHANGED` training people, drawn at random."""
    draws, people = generator_for(0), sorted(data.training)
    chosen = [data.training[people[number]] for number in draws.permutation(len(people))[:UNCHANGED]]
    return [data.album.keys[int(pictures[int(draws.integers(len(pictures)))])] for pictures in chosen]
