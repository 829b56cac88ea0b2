"""The losses of the recipe that learns from people.

B batch, b pictures of this process, D embedding, R regions, K people that the classifiers know, k of them in this
process
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.learning.shares import highest, total_with_gradients


def split_regions(embeddings: Tensor, count: int) -> list[Tensor]:
    """(B, D) -> for each region (B, D / R) of unit length. Separate losses make the towers' errors differ."""
    return [functional.normalize(part) for part in embeddings.chunk(count, dim=1)]


def supervised_contrastive(
    embeddings: Tensor, labels: Tensor, temperature: float, mine: Tensor | None = None
) -> Tensor:
    """(B, D) float32 of unit length, (B,) int64 -> the mean loss.

    Khosla et al. 2020, with the sum outside the logarithm: each picture is pulled towards the others of its person and
    pushed away from the rest. A person's only picture has no loss of its own.

    With several processes each compares the pictures at the places `mine` int64 (b,), its own, with all.
    """
    anchors = slice(None) if mine is None else mine
    places = torch.arange(len(labels), device=labels.device)
    alone = places[anchors, None] == places
    logits = (embeddings[anchors] @ embeddings.T / temperature).masked_fill(alone, -torch.inf)
    likelihood = logits.log_softmax(1).masked_fill(alone, 0)
    same = (labels[anchors, None] == labels) & ~alone
    count = same.sum(1)
    losses = -(likelihood * same).sum(1) / count.clamp_min(1)
    loss, compared = total_with_gradients(torch.stack([losses.sum(), (count > 0).sum()]))
    mean: Tensor = loss / compared.clamp_min(1)
    return mean


def relational_distillation(
    embeddings: Tensor, wanted: Tensor, temperature: float, mine: Tensor | None = None
) -> Tensor:
    """(B, D) float32 of unit length, and cosines (B, B) of teachers -> the mean loss.

    Each picture's cosines to the others, divided by the temperature, give a distribution by softmax. The loss is the
    Kullback-Leibler divergence of the teachers' distribution from the network's (Passalis and Tefas 2018).

    With several processes each compares the pictures at the places `mine` int64 (b,), its own, with all.
    """
    anchors = slice(None) if mine is None else mine
    places = torch.arange(len(embeddings), device=embeddings.device)
    alone = places[anchors, None] == places
    found, taught = (
        (cosines / temperature).masked_fill(alone, -torch.inf).log_softmax(1).masked_fill(alone, 0)
        for cosines in (embeddings[anchors] @ embeddings.T, wanted[anchors])
    )
    divergence = (taught.exp() * (taught - found)).sum()
    mean: Tensor = total_with_gradients(divergence) / len(embeddings)
    return mean


class Classifier(nn.Module):
    """A direction for each of K people, for CosFace. Used in training only."""

    def __init__(self, people: int, dimension: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(people, dimension))

    def forward(self, embeddings: Tensor) -> Tensor:
        """(B, D) of unit length -> (B, K) cosines."""
        return embeddings @ functional.normalize(self.weight).T


def large_margin_cosine(cosines: Tensor, labels: Tensor, scale: float, margin: float) -> Tensor:
    """(B, K) cosines, (B,) int64 -> the mean loss of CosFace (Wang et al. 2018).

    Cross-entropy of the scaled cosines, with `margin` subtracted from the correct person's.
    """
    margins = margin * functional.one_hot(labels, cosines.shape[1])
    return functional.cross_entropy(scale * (cosines - margins), labels)


def sharded_large_margin_cosine(cosines: Tensor, correct: Tensor, scale: float, margin: float) -> Tensor:
    """The same loss, if each process has the cosines (B, k) of all pictures to its own part of the people.

    `correct` bool (B, k) is whether a column is the picture's person. Softmax's normaliser is a sum over all processes,
    as in An et al., "Partial FC: Training 10 Million Identities on a Single Machine" (2021).
    """
    logits = scale * (cosines - margin * correct)
    top = highest(logits.amax(1))
    sums = torch.stack([(logits - top[:, None]).exp().sum(1), (logits * correct).sum(1)])
    normaliser, target = total_with_gradients(sums)
    mean: Tensor = (normaliser.log() + top - target).mean()
    return mean
