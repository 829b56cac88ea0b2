"""Fits the head "fused" (`networks.heads.FusedHead`) on pairs of held-out people.

The network has seen the training people, whose pictures it tells apart too well. There are three kinds of strangers,
each with a sum of the parts' scores: ordinary ones, those whose pictures were changed alike, and those whose pictures
are alike as they are.

N pairs, P parts, K kinds of strangers
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from model.errors import TrainingError
from model.networks import architecture, embedder, residual
from model.networks.configurations import FUSED_SUMS
from model.networks.heads import FusedHead, soft_minimum
from training import fitting, scoring
from training.data.album import owners
from training.data.datasets import PeopleData
from training.people.changed_pictures import changed_groups
from training.statistics.logistic import fit_logistic

# At most so many of the held-out pictures are used, and pairs of each kind.
MOST_PICTURES, MOST_PAIRS = 4000, 100_000
# So many ordinary pairs of strangers are drawn.
STRANGERS = 40_000
# From which score of the thumbnails strangers are alike. With a limit of 0.45 they are 0.3% of LFW's strangers.
ALIKE_SCORE = 0.45
# How often all held-out pictures are changed, and how many of them alike.
ROUNDS, GROUP = 4, 80
# What changed and alike pairs weigh among the strangers, and changed ones among the pairs of one person. Chosen on
# held-out people, half of them measured with what the other half fitted: the first two among 0.05 to 0.4 and 0 to 0.3,
# the last among 0 to 0.3. The more the first two weigh, the fewer such strangers pass and the more genuine pairs are
# rejected; the last does the reverse.
CHANGED_STRANGERS, ALIKE_STRANGERS, CHANGED_GENUINE = 0.25, 0.05, 0.06
# The sum of the squared weights, of scores with deviation 1, times this and divided by the number of genuine pairs is
# added to the loss, so that a few people do not give extreme weights.
PENALTY = 0.01
STEPS = 400
LEAST_DEVIATION = 1e-6


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Scores (N, P) of pairs of one kind, and their weight among those of one person or of strangers."""

    scores: Tensor
    weight: float


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Held-out pictures of the album, and whose they are, int64 (N,) each."""

    pictures: Tensor
    people: Tensor


@torch.no_grad()
def fit_fused_head(network: residual.ResidualNetwork, data: PeopleData, draws: torch.Generator) -> None:
    """Sets weights and biases in place, in the precision of checkpoints, and calibrates; nothing for other heads.

    The rest of the head is fitted before (`fitting.fit_head`, whose errors this raises, too). Raises TrainingError if
    scores are not finite.
    """
    head = network.head
    if not isinstance(head, FusedHead):
        return
    scores = scoring.compare_pairs(head.part_scores, network, data.album, data.validation).cpu()
    pictures, people = owners(data.held_out)
    chosen = torch.randperm(len(pictures), generator=draws)[:MOST_PICTURES]
    drawn = Pictures(pictures=pictures[chosen], people=people[chosen])
    changed, changed_strangers = _changed_pairs(network, head, data, drawn, draws)
    ordinary, alike = _unchanged_strangers(network, head, data, drawn, draws)
    kinds = ((changed_strangers, CHANGED_STRANGERS), (alike, ALIKE_STRANGERS))
    strangers = [Pairs(scores=found, weight=weight) for found, weight in kinds if len(found)]
    strangers.insert(0, Pairs(scores=ordinary, weight=1 - sum(each.weight for each in strangers)))
    genuine = [Pairs(scores=scores[data.validation.same.bool()], weight=1 - CHANGED_GENUINE)]
    if len(changed):
        genuine.append(Pairs(scores=changed, weight=CHANGED_GENUINE))
    weights, biases = fit_sums(genuine, strangers)
    if not (weights.isfinite().all() and biases.isfinite().all()):
        raise TrainingError("the head cannot be fitted: the scores of held-out pairs are not finite")
    # With fewer kinds than sums the first one stands several times, which leaves the soft minimum as it is.
    times = FUSED_SUMS - len(weights) + 1
    biases[0] += log(times)
    rows = torch.arange(FUSED_SUMS).sub(times - 1).clamp_min(0)
    head.weights.copy_(weights[rows])
    head.biases.copy_(biases[rows])
    architecture.round_to_storage(network)
    fitting.calibrate(network, data)


def _unchanged_strangers(
    network: residual.ResidualNetwork, head: FusedHead, data: PeopleData, drawn: Pictures, draws: torch.Generator
) -> tuple[Tensor, Tensor]:
    """(N, P) of pairs of held-out pictures that are drawn, and of those that are alike."""
    people = drawn.people
    embeddings = scoring.embed_all(network, data.album, drawn.pictures)
    left, right = torch.randint(len(people), (2, STRANGERS), generator=draws)
    apart = people[left] != people[right]
    chunks = zip(left[apart].split(scoring.BATCH), right[apart].split(scoring.BATCH), strict=True)
    ordinary = [head.part_scores(embeddings[a], embeddings[b]).cpu() for a, b in chunks]
    alike = []
    for first in range(0, len(people), scoring.ROWS):
        rows = slice(first, first + scoring.ROWS)
        scores = head.part_tables(embeddings[rows], embeddings[first:]).cpu()
        above = torch.ones(scores.shape[:2], dtype=torch.bool).triu(1)
        alike.append(scores[above & (people[rows, None] != people[first:]) & (scores[..., -1] >= ALIKE_SCORE)])
    return torch.cat(ordinary), _some(torch.cat(alike), draws)


def _changed_pairs(
    network: residual.ResidualNetwork, head: FusedHead, data: PeopleData, drawn: Pictures, draws: torch.Generator
) -> tuple[Tensor, Tensor]:
    """(N, P) of pairs of one person, and of strangers, whose pictures were changed alike."""
    genuine, strangers = [torch.zeros(0, len(head.parts))], [torch.zeros(0, len(head.parts))]
    for _ in range(ROUNDS):
        for images, places in changed_groups(data.album, drawn.pictures, draws, GROUP):
            shown = embedder.normalise(images.to(network.device), data.album.preprocessing)
            embeddings = torch.cat([network.embed(chunk) for chunk in shown.split(scoring.BATCH)])
            left, right = torch.triu_indices(len(places), len(places), offset=1)
            scores = head.part_tables(embeddings, embeddings)[left, right].cpu()
            same = drawn.people[places[left]] == drawn.people[places[right]]
            genuine.append(scores[same])
            strangers.append(scores[~same])
    return torch.cat(genuine), _some(torch.cat(strangers), draws)


def _some(scores: Tensor, draws: torch.Generator) -> Tensor:
    """(N, P) -> at most `MOST_PAIRS` of the rows."""
    return scores[torch.randperm(len(scores), generator=draws)[:MOST_PAIRS]]


def fit_sums(genuine: Sequence[Pairs], strangers: Sequence[Pairs]) -> tuple[Tensor, Tensor]:
    """Weights float64 (K, P) and biases (K,) whose soft minimum is the log odds of one person among the pairs.

    Both sides have the same odds; within each, pairs count by their weights. Each sum begins as the log odds against
    one kind of strangers.
    """
    pairs = [*genuine, *strangers]
    scores = torch.cat([each.scores for each in pairs]).double()
    mean, deviation = scores.mean(0), scores.std(0)
    deviation[deviation < LEAST_DEVIATION] = torch.inf  # what is always the same gets no weight
    rows = (scores - mean) / deviation
    kind = torch.arange(len(pairs)).repeat_interleave(torch.tensor([len(each.scores) for each in pairs]))
    share = torch.tensor([each.weight / 2 / len(each.scores) for each in pairs], dtype=torch.float64)[kind]
    same = kind < len(genuine)
    begun = []
    for number in range(len(genuine), len(pairs)):
        chosen = same | (kind == number)
        begun.append(fit_logistic(rows[chosen].numpy(), same[chosen].numpy(), share[chosen].numpy()))
    weights = torch.tensor(np.stack([slopes for slopes, _ in begun]), requires_grad=True)
    biases = torch.tensor([bias for _, bias in begun], dtype=torch.float64, requires_grad=True)
    penalty = PENALTY / sum(len(each.scores) for each in genuine)
    optimizer = torch.optim.LBFGS([weights, biases], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        odds = soft_minimum(rows @ weights.T + biases)
        wrong = functional.binary_cross_entropy_with_logits(odds, same.double(), reduction="none")
        total: Tensor = (share * wrong).sum() + penalty * weights.square().sum()
        total.backward()
        return total

    with torch.enable_grad():
        optimizer.step(loss)
    found = weights.detach() / deviation
    return found, biases.detach() - found @ mean
