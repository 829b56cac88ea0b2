"""The conditions of a data set's own pictures, and below which similarity each pair of them is undecided.

K pictures
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from math import inf

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.conditions import NOT_PHOTOGRAPH, ConditionRates
from model.imaging.analysis import analyse
from model.imaging.conditions import ConditionDetectors
from model.imaging.decoding import decode
from model.imaging.detection import FaceFinder
from training.data.album import Album
from training.data.source import DataSource

# Files in memory at a time. An archive is read once for each so many.
AT_ONCE = 512


def find_conditions(
    detectors: ConditionDetectors | None, source: DataSource, album: Album, pictures: Tensor
) -> list[list[str]]:
    """The conditions of the album's pictures at the indices int64 (K,), as the service finds them; without detectors
    none.
    """
    if detectors is None:
        return [[] for _ in pictures]
    finder, found = FaceFinder(), list[list[str]]()

    def one(file: bytes) -> list[str]:
        photo = decode(file, album.preprocessing)
        [face] = analyse(photo, source.face, album.preprocessing, finder, conditions=detectors).faces
        return face.conditions or []

    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        for some in pictures.split(AT_ONCE):
            keys = [album.keys[number] for number in some.tolist()]
            files = source.files(keys)
            found += threads.map(one, [files[key] for key in keys])
    return found


def least_similarities(
    rates: Sequence[ConditionRates],
    conditions: Sequence[Sequence[str]],
    max_fmr: float,
    likeness: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """The conditions of K pictures -> (K, K): below which similarity a pair is undecided.

    `likeness` (K, K) is how alike the pictures of all pairs are, None if their embeddings have no thumbnails. As
    `model.conditions.decide_for_pair`, for all pairs at once.
    """
    least = {each.condition: each.least_similarity(max_fmr) for each in rates}
    found = np.zeros((len(conditions), len(conditions)))
    for name in sorted({name for names in conditions for name in names}):
        inside = np.array([name in names for names in conditions])
        together = np.logical_or if name == NOT_PHOTOGRAPH else np.logical_and
        found = np.where(together.outer(inside, inside), np.maximum(found, least.get(name, inf)), found)
    for each in rates:
        if each.likeness is not None and likeness is not None:
            found = np.where(likeness >= each.likeness, np.maximum(found, least[each.condition]), found)
    return found
