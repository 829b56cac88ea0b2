"""Scores pairs of an album with a network, in the same way as the service.

G genuine pairs, I impostor pairs, M people
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.networks import embedder, heads, residual
from model.networks.face_network import FaceNetwork
from training.data.album import Album, PairSet
from training.statistics.rates import Labels, Scores
from training.statistics.resampling import Owners

BATCH = 128
# Rows of the table of logits that are computed at once.
ROWS = 256
Logits = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class AllPairs:
    """Every pair's logit float32 and people: `genuine` (G,) of `owner`, `impostor` (I,) of `left` and `right`.

    `pictures` (M,) is the number of pictures of each person.
    """

    genuine: Logits
    owner: Owners
    impostor: Logits
    left: Owners
    right: Owners
    pictures: Owners


def score_pairs(network: FaceNetwork, album: Album, pairs: PairSet) -> tuple[Scores, Labels]:
    """Similarities float64 (P,) and labels bool (P,). Every picture is embedded once."""
    logits = compare_pairs(network.compare, network, album, pairs)
    return heads.similarity(logits).cpu().numpy(), pairs.same.bool().numpy()


def raw_scores(network: residual.ResidualNetwork, album: Album, pairs: PairSet) -> tuple[Scores, Labels]:
    """The head's scores before calibration, float64 (P,), and labels bool (P,)."""
    raw = compare_pairs(network.head.score, network, album, pairs)
    return raw.double().cpu().numpy(), pairs.same.bool().numpy()


@torch.no_grad()
def compare_pairs(
    compare: Callable[[Tensor, Tensor], Tensor], network: FaceNetwork, album: Album, pairs: PairSet
) -> Tensor:
    """(P, ...): `compare` applied to the two embeddings of each pair. Every picture is embedded once."""
    used, places = torch.cat([pairs.left, pairs.right]).unique(return_inverse=True)
    embeddings = embed_all(network, album, used)
    left, right = places.chunk(2)
    chunks = zip(left.split(BATCH), right.split(BATCH), strict=True)
    return torch.cat([compare(embeddings[a], embeddings[b]) for a, b in chunks])


def embed_all(network: FaceNetwork, album: Album, pictures: Tensor, *, mirrored: bool = False) -> Tensor:
    """The album's pictures at the indices int64 (N,) -> embeddings float32 (N, D), as the service's to 1e-5.

    If `mirrored`, of their mirror images. Sets evaluation mode.
    """
    network.eval().to(memory_format=torch.channels_last)
    chunks = (album.pixels[chosen] for chosen in pictures.split(BATCH))
    chunks = (chunk.flip(2) for chunk in chunks) if mirrored else chunks
    return torch.cat([embedder.embed_pixels(network, chunk, album.preprocessing) for chunk in chunks])


@torch.no_grad()
def logit_table(network: FaceNetwork, left: Tensor, right: Tensor) -> Logits:
    """Embeddings float32 (A, D) and (B, D) on the network's device -> the logits of all pairs, float32 (A, B)."""
    table: Logits = torch.cat([network.logit_table(part, right).cpu() for part in left.split(ROWS)]).numpy()
    return table


@torch.no_grad()
def logit_blocks(network: FaceNetwork, embeddings: Tensor) -> Iterator[tuple[int, Tensor]]:
    """The first of `ROWS` pictures, and their logits with all pictures from it on, for all pairs (N, D), on the CPU."""
    for start in range(0, len(embeddings), ROWS):
        yield start, network.logit_table(embeddings[start : start + ROWS], embeddings[start:]).cpu()


@torch.no_grad()
def score_all(network: FaceNetwork, embeddings: Tensor, owner: Tensor) -> AllPairs:
    """The logits of all N (N - 1) / 2 pairs, in the order of rows; memory grows with the square of N.

    `embeddings` is float32 (N, D) on the network's device, `owner` the people's numbers from 0, int64 (N,) on the CPU.
    """
    parts = []
    for start, table in logit_blocks(network, embeddings):
        rows, columns = torch.triu_indices(table.shape[0], table.shape[1], offset=1)
        parts.append((table[rows, columns], owner[start + rows], owner[start + columns]))
    logits, left, right = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
    same = left == right
    return AllPairs(
        genuine=logits[same],
        owner=left[same],
        impostor=logits[~same],
        left=left[~same],
        right=right[~same],
        pictures=owner.bincount().numpy(),
    )
