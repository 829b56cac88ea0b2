"""Pictures in known conditions, to fit detectors on: changed pictures of training people, and their features.

N pictures, F features
"""

from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Features float32 (N, F) and the condition of each picture, "" for the unchanged."""

    features: Features
    conditions: NDArray[np.str_]


def features_of(pictures: ChangedPictures) -> Features:
    """float32 (N, F), as the service computes them."""
    config = pictures.album.preprocessing
    assert config.alignment
    template = config.alignment.points(config.side_px, config.crop)
    rows = zip(pictures.album.pixels.numpy(), pictures.landmarks, pictures.sizes.tolist(), pictures.scores, strict=True)
    return np.stack(
        [features(pixels, points, template, (size[0], size[1]), float(score)) for pixels, points, size, score in rows]
    )


def training_examples(source: DataSource, data: PeopleData, changes: Sequence[Change]) -> Examples:
    """Pictures of training people, one of each, unchanged and with changes whose parameters are drawn for each."""
    unchanged = prepare_unchanged(source, data.album, some_pictures(data, UNCHANGED))
    rows, conditions = [features_of(unchanged)], [""] * len(unchanged.scores)
    for change in changes:
        order = generator_for(0, change.name).permutation(len(unchanged.album.keys))
        keys = [unchanged.album.keys[number] for number in order[:CHANGED]]
        found = features_of(prepare_changed(source, unchanged, keys, change, "drawn"))
        rows.append(found)
        conditions += [change.condition] * len(found)
    return Examples(features=np.concatenate(rows), conditions=np.array(conditions))


def some_pictures(data: PeopleData, most: int) -> list[Key]:
    """A picture of each of at most `most` training people, drawn at random."""
    draws, people = generator_for(0), sorted(data.training)
    chosen = [data.training[people[number]] for number in draws.permutation(len(people))[:most]]
    return [data.album.keys[int(pictures[int(draws.integers(len(pictures)))])] for pictures in chosen]
