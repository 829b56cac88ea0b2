"""Samples of embedded pictures and their pairs, for calibrating a checkpoint.

N pictures, D embedding, P pairs, I impostor pairs
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.arrays import Embeddings
from model.errors import DataError
from model.networks.face_network import FaceNetwork
from model.similarity import Calibration
from training import scoring
from training.data import datasets, lists
from training.data.album import Album, PairSet, People, owners
from training.measuring import copies
from training.statistics import rates, resampling

MIN_IMPOSTOR = 20
MAX_PICTURES = 3000
# Parts of the people for `Sample.score_without_own_mean`.
FOLDS = 10


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Logits of the pairs (P,) with labels, and impostor logits (I,) with the numbers of their people.

    `table` (N, N) has the logits of all pairs of pictures.
    """

    logits: rates.Scores
    same: rates.Labels
    impostor: rates.Scores
    left: resampling.Owners
    right: resampling.Owners
    table: scoring.Logits


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Embeddings float32 (N, D) of pictures, their people's numbers int64 (N,), and pairs of them.

    With `every`, all their impostor pairs count for rates, otherwise only those among `pairs`. `copies` is how many
    genuine pairs were left out, since their pictures look like copies.
    """

    embeddings: Embeddings
    owner: Tensor
    pairs: PairSet
    every: bool
    copies: int = 0

    @property
    def people(self) -> int:
        return len(self.owner.unique())

    @property
    def same(self) -> rates.Labels:
        same: rates.Labels = self.pairs.same.bool().numpy()
        return same

    @property
    def genuine(self) -> int:
        return int(self.same.sum())

    def score(self, network: FaceNetwork, fitted: Calibration) -> Scored:
        """The logits of the embeddings without the mean of `fitted`, before its scale and bias."""
        return self._scored(_table(network, fitted.centre(self.embeddings), fitted.centre(self.embeddings)))

    def score_without_own_mean(self, network: FaceNetwork, unit_parts: Sequence[int]) -> Scored:
        """The logits as on other people, if the mean of all these people is subtracted.

        `unit_parts` are those of the network's configuration.
        A mean that contains a picture takes away some of the picture. So people are divided into `FOLDS` parts, and a
        pair loses the mean of the people outside its two parts.
        """
        rows, numbers = self.embeddings, self.owner.numpy()
        part = np.unique(numbers, return_inverse=True)[1] % FOLDS
        table = np.zeros((len(rows), len(rows)), np.float32)
        for first, second in combinations_with_replacement(range(part.max() + 1), 2):
            outside = (part != first) & (part != second)
            if not outside.any():
                raise DataError(f"centring needs at least 3 people; there are {self.people}")
            mean = mean_of_people(rows[outside], self.owner[torch.from_numpy(outside)])
            fitted = Calibration.centring(mean, unit_parts)
            left, right = np.flatnonzero(part == first), np.flatnonzero(part == second)
            logits = _table(network, fitted.centre(rows[left]), fitted.centre(rows[right]))
            table[np.ix_(left, right)] = logits
            table[np.ix_(right, left)] = logits.T
        return self._scored(table)

    def impostor_places(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The places of both pictures of the impostor pairs that count, (I,)."""
        if not self.every:
            return self.pairs.left.numpy()[~self.same], self.pairs.right.numpy()[~self.same]
        owner = self.owner.numpy()
        left, right = np.triu_indices(len(owner), 1)
        strangers = owner[left] != owner[right]
        return left[strangers], right[strangers]

    def _scored(self, table: NDArray[np.float32]) -> Scored:
        """`table` (N, N) has the logits of all pairs."""
        logits = table[self.pairs.left.numpy(), self.pairs.right.numpy()].astype(np.float64)
        (left, right), owner = self.impostor_places(), self.owner.numpy()
        impostor = table[left, right].astype(np.float64)
        return Scored(
            logits=logits, same=self.same, impostor=impostor, left=owner[left], right=owner[right], table=table
        )


def sample_of_list(network: FaceNetwork, album: Album, pairs: PairSet, *, keep_alike: bool = False) -> Sample:
    """The pairs of a list. Raises DataError for too few impostor pairs, or for pictures that occur twice.

    With `keep_alike` pictures under two names may be nearly the same, and genuine pairs of copies count. Networks
    without embeddings of length 1 cannot tell the first.
    """
    pictures, places = torch.cat([pairs.left, pairs.right]).unique(return_inverse=True)
    left, right = places.chunk(2)
    names = [album.keys[number][0] for number in pictures.tolist()]
    owner = torch.from_numpy(np.unique(names, return_inverse=True)[1])
    placed = PairSet(left=left, right=right, same=pairs.same)
    return _sample(network, album, pictures, owner, placed, every=False, keep_alike=keep_alike)


def sample_of_people(network: FaceNetwork, album: Album, *, keep_alike: bool = False) -> Sample:
    """All impostor pairs and some genuine pairs of at most `MAX_PICTURES` pictures; raises as `sample_of_list`."""
    people = some_people(lists.pictures_at_hand({name for name, _ in album.keys}, album), MAX_PICTURES)
    pictures, owner = owners(people)
    return _sample(network, album, pictures, owner, some_pairs(owner), every=True, keep_alike=keep_alike)


def some_pairs(owner: Tensor) -> PairSet:
    """People's numbers int64 (N,) -> some genuine pairs of each person and as many impostor pairs, by their places."""
    people, counts = owner.unique(return_counts=True)
    pictures = owner.argsort(stable=True).split(counts.tolist())
    places = {f"{person:08d}": each for person, each in zip(people.tolist(), pictures, strict=True)}
    return datasets.balanced_pairs(places, datasets.HoldOut())


def some_people(people: Mapping[str, Tensor], most_pictures: int) -> People:
    """All people, or people drawn at random with at most `most_pictures` pictures together.

    A person with more than half of these has so many drawn at random, so that two people always fit.
    """
    names, draws = sorted(people), torch.Generator().manual_seed(0)
    total, chosen = 0, {}
    for name in (names[i] for i in torch.randperm(len(names), generator=draws).tolist()):
        pictures = people[name]
        if len(pictures) > most_pictures // 2:
            drawn = torch.randperm(len(pictures), generator=draws)[: most_pictures // 2]
            pictures = pictures[drawn.sort().values]
        if total + len(pictures) <= most_pictures:
            total += len(pictures)
            chosen[name] = pictures
    return chosen


def _table(network: FaceNetwork, left: Embeddings, right: Embeddings) -> scoring.Logits:
    """(A, D) and (B, D) -> the logits of all pairs (A, B)."""
    device = network.device
    return scoring.logit_table(network, *(torch.from_numpy(side).to(device) for side in (left, right)))


def mean_length(embeddings: Embeddings, owner: Tensor) -> float:
    """The length of the mean embedding of different people, without what chance adds to the mean of a few.

    Its square is the mean cosine of two pictures of different people.
    """
    rows = embeddings.astype(np.float64)
    counts = np.bincount(owner)
    sums = np.zeros((len(counts), rows.shape[1]))
    np.add.at(sums, owner.numpy(), rows)
    cosines = (rows.sum(0) ** 2).sum() - (sums**2).sum()
    return float(np.sqrt(max(cosines / (len(rows) ** 2 - (counts**2).sum()), 0.0)))


def mean_of_people(embeddings: Embeddings, owner: Tensor) -> tuple[float, ...]:
    """The mean (D,) of the people's mean embeddings."""
    numbers = owner.numpy()
    rows = embeddings[np.argsort(numbers, kind="stable")].astype(np.float64)
    ends = np.cumsum(np.unique(numbers, return_counts=True)[1])
    means = [each.mean(0) for each in np.split(rows, ends[:-1])]
    return tuple(np.mean(means, axis=0).round(7).tolist())


def _sample(
    network: FaceNetwork,
    album: Album,
    pictures: Tensor,
    owner: Tensor,
    pairs: PairSet,
    *,
    every: bool,
    keep_alike: bool,
) -> Sample:
    impostor = len(pairs) - int(pairs.same.sum())
    if every:
        impostor = (len(owner) ** 2 - int((owner.bincount() ** 2).sum())) // 2
    if impostor < MIN_IMPOSTOR:
        raise DataError(
            f"calibration needs at least {MIN_IMPOSTOR} impostor pairs, and there are {impostor}; add pictures of "
            "further people"
        )
    copies.require_distinct(album, pictures)
    embeddings = scoring.embed_all(network, album, pictures).cpu().numpy()
    if network.unit_length and not keep_alike:
        mirrored = scoring.embed_all(network, album, pictures, mirrored=True).cpu().numpy()
        copies.require_no_copies(album, pictures, embeddings, mirrored)
    kept = pairs if keep_alike else without_copies(album, pictures, pairs)
    return Sample(embeddings=embeddings, owner=owner, pairs=kept, every=every, copies=len(pairs) - len(kept))


def without_copies(album: Album, pictures: Tensor, pairs: PairSet) -> PairSet:
    """The pairs, by their places among the album's pictures int64 (N,), but those of a picture and its copy."""
    copied = {frozenset(pair) for pair in copies.copies_under_one_name(album, pictures).tolist()}
    both = torch.stack([pictures[pairs.left], pictures[pairs.right]], 1).tolist()
    kept = [place for place, pair in enumerate(both) if frozenset(pair) not in copied]
    return pairs[torch.tensor(kept, dtype=torch.int64)]
