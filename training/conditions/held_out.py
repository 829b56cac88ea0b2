"""The held-out people of a checkpoint's run under shared changes: similarities of all pairs, and what pictures share.

K held-out pictures, M people, P validation pairs, N pictures with a face
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from model.arrays import Features
from model.conditions import likeness_table
from model.networks import heads
from model.networks.face_network import FaceNetwork
from training import scoring
from training.conditions.examples import features_of
from training.data.album import owners
from training.data.change import Change
from training.data.changed import ChangedPictures, prepare_changed, prepare_unchanged
from training.data.datasets import PeopleData
from training.data.source import DataSource
from training.statistics.rates import Labels
from training.statistics.resampling import Owners


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Held-out pictures after a change: which have a face, bool (K,), and the similarities of all pairs, (K, K).

    `to_unchanged` (K, K) has those of a changed picture (row) and an unchanged one (column). `likeness` (K, K) is how
    alike the pictures are, None without thumbnails. Rows and columns of pictures without a face are 0. `features`
    (K, F) and `detected` (K,), the face detector's scores, are 0, too.
    """

    change: str
    condition: str
    there: NDArray[np.bool_]
    table: NDArray[np.float32]
    to_unchanged: NDArray[np.float32]
    likeness: NDArray[np.float64] | None
    features: Features
    detected: NDArray[np.float64]


class HeldOutPictures:
    """The K held-out pictures of a data set with their people's numbers, and the validation pairs by their places."""

    def __init__(self, network: FaceNetwork, source: DataSource, data: PeopleData) -> None:
        """Raises DataError if the data set's faces are not aligned."""
        pictures, owner = owners(data.held_out)
        self.keys = [data.album.keys[number] for number in pictures.tolist()]
        self.owner: Owners = owner.numpy()
        places = torch.full((len(data.album.keys),), -1)
        places[pictures] = torch.arange(len(pictures))
        self.left, self.right = places[data.validation.left].numpy(), places[data.validation.right].numpy()
        self.same: Labels = data.validation.same.bool().numpy()
        self._network, self._source = network, source
        self._before = prepare_unchanged(source, data.album, self.keys)
        self._unchanged = scoring.embed_all(network, data.album, pictures)

    def unchanged(self) -> Scored:
        """The pictures saved again without a change."""
        return self._score("as they are", "", self._before)

    def after(self, change: Change) -> Scored:
        """All pictures with the change's usual parameters."""
        return self._score(
            change.name, change.condition, prepare_changed(self._source, self._before, self.keys, change, "shared")
        )

    def impostor_pairs(self, there: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The places of both pictures of all impostor pairs among the pictures `there`, bool (K,)."""
        left, right = np.triu_indices(len(there), 1)
        wanted = (self.owner[left] != self.owner[right]) & there[left] & there[right]
        return left[wanted], right[wanted]

    def _score(self, name: str, condition: str, changed: ChangedPictures) -> Scored:
        places = changed.indices(self.keys)
        there = places >= 0
        chosen = torch.from_numpy(places[there])
        embeddings = torch.zeros_like(self._unchanged)
        embeddings[torch.from_numpy(there)] = scoring.embed_all(self._network, changed.album, chosen)
        found = features_of(changed)
        features = np.zeros((len(places), found.shape[1]), np.float32)
        features[there] = found[places[there]]
        detected = np.zeros(len(places))
        detected[there] = changed.scores[places[there]]
        return Scored(
            change=name,
            condition=condition,
            there=there,
            table=similarity_table(self._network, embeddings, embeddings),
            to_unchanged=similarity_table(self._network, embeddings, self._unchanged),
            likeness=likeness_table(embeddings.cpu().numpy(), self._network.unit_parts),
            features=features,
            detected=detected,
        )


@torch.no_grad()
def similarity_table(network: FaceNetwork, left: torch.Tensor, right: torch.Tensor) -> NDArray[np.float32]:
    """Embeddings (A, D) and (B, D) -> the similarities of all pairs (A, B)."""
    rows = [network.logit_table(part, right) for part in left.split(scoring.ROWS)]
    return np.asarray(heads.similarity(torch.cat(rows)).float().cpu().numpy())
