"""The losses of the recipe that learns from people.

B batch, D embedding, K people that the classifiers know
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


def supervised_contrastive(embeddings: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """(B, D) float32 of unit length, (B,) int64 -> the mean loss.

    Khosla et al. 2020, with the sum outside the logarithm: each picture is pulled towards the others of its person and
    pushed away from the rest. A person's only picture has no loss of its own.
    """
    alone = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    logits = (embeddings @ embeddings.T / temperature).masked_fill(alone, -torch.inf)
    likelihood = logits.log_softmax(1).masked_fill(alone, 0)
    same = (labels[:, None] == labels) & ~alone
    count = same.sum(1)
    losses = -(likelihood * same).sum(1) / count.clamp_min(1)
    return losses.sum() / (count > 0).sum().clamp_min(1)


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
