"""Fits the part of embeddings that is made of gradient histograms, in closed form, on the training people's pictures.

The directions are those of a Joint Bayesian model (`training.fitting`) of principal components. What pictures of
different people share after the same change, such as blur, counts as a difference between pictures of one person, so
that it does not speak for the same person. The clarity is a logistic regression that tells pictures from changed ones.

F values of histograms, K components, N pictures
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from model.networks import embedder, gradients, residual
from training import fitting, scoring
from training.data.album import owners
from training.data.datasets import PeopleData
from training.people.covers import Eyes
from training.people.nuisances import Group, Nuisances, change_groups, cover_groups, draw_groups
from training.people.photo_changes import Draws
from training.statistics.logistic import fit_logistic

# Four fifths of the groups are changed, most by one change or two.
CHANGES = Nuisances(probability=1, covered=0.4, each=0.1)
BACKLIT = 0.1
# How often all pictures are changed; the first changed ones count for the components, too.
ROUNDS = 2
# At most so many pictures are used, since all their histograms are held in memory.
MOST_PICTURES = 10_000
# How much of `within` is replaced by the same variance in every direction: few pictures may never differ in one.
SHRINKAGE = 0.01
# What the covariance of the changes' means adds to `within`. Chosen on held-out people among 0, 0.03, 0.1, 0.3, 1 and
# 10: the larger it is, the fewer strangers pass that were changed alike, and the more genuine pairs are rejected.
SHARED = 0.03
# Added to the logit of the clarity: the median of the training pictures gets 0.98 instead of 0.92.
SURER = 1.5
# Components that deviate less than this share of the first are left out: few pictures have fewer.
LEAST_DEVIATION = 1e-3


@dataclass(frozen=True, kw_only=True)
class Changed:
    """The components (N, K) of changed pictures, their places (N,) among the unchanged ones, and their groups (N,)."""

    components: Tensor
    places: Tensor
    groups: Tensor


@torch.no_grad()
def fit_gradients(network: residual.ResidualNetwork, data: PeopleData, draws: torch.Generator) -> None:
    """Sets the layers of `network.gradients` in place, in the precision of checkpoints; nothing without gradients."""
    part = network.gradients
    if part is None:
        return
    pictures, people = _some_people(data, draws)
    histograms = _histograms(network, data, pictures)
    first, *others = (list(_changed_groups(network, data, pictures, draws)) for _ in range(ROUNDS))
    _fit_components(part.components, torch.cat([histograms, *(rows for rows, _ in first)]), draws)
    unchanged = part.components(histograms)
    del histograms
    changed = [_components_of(part, each) for each in (first, *others)]
    _fit_clarity(part.clarity, unchanged, [each.components for each in changed])
    _fit_directions(part.projection, unchanged, people, changed)


def _some_people(data: PeopleData, draws: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pictures and people, int64 (N,) each: all training people, or some if they have more than `MOST_PICTURES`."""
    pictures, people = owners(data.training)
    order = torch.randperm(len(data.training), generator=draws)
    ahead = people.bincount()[order].cumsum(0) <= MOST_PICTURES
    chosen = torch.isin(people, order[ahead]) if ahead.any() else people == order[0]
    return pictures[chosen], people[chosen].unique(return_inverse=True)[1]


def _histograms(network: residual.ResidualNetwork, data: PeopleData, pictures: Tensor) -> Tensor:
    """Of the pictures int64 (N,), float32 (N, F) on the CPU."""
    chunks = (embedder.to_unit(data.album.pixels[chosen]) for chosen in pictures.split(scoring.BATCH))
    return torch.cat([_of_images(network, data, images) for images in chunks])


def _of_images(network: residual.ResidualNetwork, data: PeopleData, images: Tensor) -> Tensor:
    """float32 (B, C, H, W), 0..1 -> (B, F) on the CPU."""
    shown = embedder.normalise(images.to(network.device), data.album.preprocessing)
    return gradients.histograms(residual.standardise(residual.luma(shown))).cpu()


def _changed_groups(
    network: residual.ResidualNetwork, data: PeopleData, pictures: Tensor, draws: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Histograms (G, F) and places int64 (G,) of the pictures of each group, which are changed alike."""
    eyes, drawn = Eyes.of(data.album.preprocessing), Draws(draws)
    for group in draw_groups(len(pictures), 1, 0, CHANGES, drawn, backlit=BACKLIT, eyes=eyes):
        if not len(group.pictures) or (group.cover is None and not group.changes):
            continue
        images = embedder.to_unit(data.album.pixels[pictures[group.pictures]])
        whole: list[Group] = [replace(group, pictures=torch.arange(len(images)))]
        changed = change_groups(cover_groups(images, whole, eyes, drawn), whole, drawn)
        yield _of_images(network, data, changed), group.pictures


def _components_of(part: gradients.Gradients, groups: Sequence[tuple[Tensor, Tensor]]) -> Changed:
    return Changed(
        components=torch.cat([part.components(rows) for rows, _ in groups]),
        places=torch.cat([places for _, places in groups]),
        groups=torch.cat([torch.full((len(places),), number) for number, (_, places) in enumerate(groups)]),
    )


def _fit_components(layer: gradients.Fitted, histograms: Tensor, draws: torch.Generator) -> None:
    """Principal components of (N, F), each divided by its deviation, by a randomised decomposition."""
    mean, wanted = histograms.mean(0), len(layer.bias)
    with torch.random.fork_rng(devices=[]):  # `svd_lowrank` takes no generator
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=draws)))
        _, sizes, found = torch.svd_lowrank(histograms - mean, q=min(wanted + 50, *histograms.shape), niter=2)
    taken = int((sizes[:wanted] > LEAST_DEVIATION * sizes[0]).sum())
    layer.weight.zero_()[:taken] = (found[:, :taken] / sizes[:taken] * len(histograms) ** 0.5).T
    layer.weight.copy_(layer.weight.half())  # what the bias makes up for is what is stored
    layer.bias.copy_(-layer.weight @ mean)


def _fit_clarity(layer: gradients.Fitted, unchanged: Tensor, changed: Sequence[Tensor]) -> None:
    rows = torch.cat([unchanged, *changed]).double().numpy()
    clear = np.arange(len(rows)) < len(unchanged)
    share = np.where(clear, 0.5 / clear.sum(), 0.5 / (~clear).sum())
    slopes, intercept = fit_logistic(rows, clear, share)
    layer.weight.copy_(torch.from_numpy(slopes))
    layer.bias.fill_(intercept + SURER)


def _fit_directions(layer: gradients.Fitted, unchanged: Tensor, people: Tensor, changed: Sequence[Changed]) -> None:
    rows = functional.normalize(unchanged)
    found = fitting.scatter(rows, people, SHRINKAGE)
    means = torch.cat([_mean_changes(rows, each) for each in changed])
    shared = means.T @ means / len(means)
    projection, variances = fitting.diagonalise(replace(found, within=found.within + SHARED * shared))
    weights = variances / (1 + 2 * variances)  # as in the head, whose inner product this becomes
    best = weights.argsort(descending=True)[: len(layer.bias)]
    directions = (projection * weights.sqrt())[:, best].T
    directions /= directions.norm(dim=1).max()
    layer.weight.zero_()[: len(best)] = directions.float()
    layer.weight.copy_(layer.weight.half())
    layer.bias.copy_(-(layer.weight.double() @ found.mean))


def _mean_changes(unchanged: Tensor, changed: Changed) -> Tensor:
    """Rows (N, K) of length 1 -> float64 (groups, K), by how much each group's rows changed on the average."""
    apart = (functional.normalize(changed.components) - unchanged[changed.places]).double()
    counts = changed.groups.bincount()
    return (
        torch.zeros(len(counts), apart.shape[1], dtype=torch.float64).index_add_(0, changed.groups, apart)
        / (counts[:, None])
    )
