"""Fits the part of embeddings that is made of gradient histograms, in closed form, on the training people's pictures.

The directions are those of a Joint Bayesian model (`training.fitting`) of principal components. What pictures of
different people share after the same change, such as blur, counts as a difference between pictures of one person, so
that it does not speak for the same person.

F values of histograms, K components, N pictures
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from model.networks import embedder, gradients, residual
from training import fitting, scoring
from training.data.album import owners
from training.data.datasets import PeopleData
from training.people.changed_pictures import changed_groups

# Few pictures have fewer principal components.
COMPONENTS = 700
# How often all pictures are changed; the first changed ones count for the components, too.
ROUNDS = 2
# At most so many pictures are used, since all their histograms are held in memory.
MOST_PICTURES = 10_000
# How much of `within` is replaced by the same variance in every direction: few pictures may never differ in one.
SHRINKAGE = 0.01
# What the covariance of the changes' means adds to `within`. Chosen on held-out people among 0, 0.03, 0.1, 0.3, 1 and
# 10: the larger it is, the fewer strangers pass that were changed alike, and the more genuine pairs are rejected.
SHARED = 0.03
# Components that deviate less than this share of the first are left out: few pictures have fewer.
LEAST_DEVIATION = 1e-3


@dataclass(frozen=True, kw_only=True)
class Components:
    """A mean (F,) and principal components (F, K)."""

    mean: Tensor
    basis: Tensor

    def of(self, histograms: Tensor) -> Tensor:
        """(N, F) -> (N, K)."""
        return (histograms - self.mean) @ self.basis


@dataclass(frozen=True, kw_only=True)
class Changed:
    """The components (N, K) of changed pictures, their places (N,) among the unchanged ones, and their groups (N,)."""

    components: Tensor
    places: Tensor
    groups: Tensor


@torch.no_grad()
def fit_gradients(network: residual.ResidualNetwork, data: PeopleData, draws: torch.Generator) -> None:
    """Sets `network.gradients` in place, in the precision of checkpoints; nothing if there are none."""
    part = network.gradients
    if part is None:
        return
    pictures, people = _some_people(data, draws)
    histograms = _histograms(network, data, pictures)
    first, *others = (
        [(_of_images(network, data, images), places) for images, places in changed_groups(data.album, pictures, draws)]
        for _ in range(ROUNDS)
    )
    found = _principal_components(torch.cat([histograms, *(rows for rows, _ in first)]), draws)
    unchanged = found.of(histograms)
    del histograms
    changed = [_changed(found, each) for each in (first, *others)]
    directions, centre = _directions(unchanged, people, changed, len(part.bias))
    weight = (found.basis.double() @ directions).T
    part.weight.zero_()[: len(weight)] = (weight / weight.abs().max()).float()
    part.weight.copy_(part.weight.half())  # what the bias makes up for is what is stored
    part.bias.zero_()[: len(weight)] = (-centre @ directions / weight.abs().max()).float()
    part.bias.sub_(part.weight @ found.mean)


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


def _principal_components(histograms: Tensor, draws: torch.Generator) -> Components:
    """Of (N, F), each divided by its deviation, by a randomised decomposition."""
    mean = histograms.mean(0)
    with torch.random.fork_rng(devices=[]):  # `svd_lowrank` takes no generator
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=draws)))
        _, sizes, found = torch.svd_lowrank(histograms - mean, q=min(COMPONENTS + 50, *histograms.shape), niter=2)
    taken = int((sizes[:COMPONENTS] > LEAST_DEVIATION * sizes[0]).sum())
    return Components(mean=mean, basis=found[:, :taken] / sizes[:taken] * len(histograms) ** 0.5)


def _changed(found: Components, groups: Sequence[tuple[Tensor, Tensor]]) -> Changed:
    return Changed(
        components=torch.cat([found.of(rows) for rows, _ in groups]),
        places=torch.cat([places for _, places in groups]),
        groups=torch.cat([torch.full((len(places),), number) for number, (_, places) in enumerate(groups)]),
    )


def _directions(unchanged: Tensor, people: Tensor, changed: Sequence[Changed], most: int) -> tuple[Tensor, Tensor]:
    """The best directions float64 (K, at most `most`), by their weights in a Joint Bayesian head, and the mean (K,)."""
    found = fitting.scatter(unchanged, people, SHRINKAGE)
    means = torch.cat([_mean_changes(unchanged, each) for each in changed])
    shared = means.T @ means / len(means)
    projection, variances = fitting.diagonalise(replace(found, within=found.within + SHARED * shared))
    weights = variances / (1 + 2 * variances)
    best = weights.argsort(descending=True)[:most]
    return (projection * weights.sqrt())[:, best], found.mean


def _mean_changes(unchanged: Tensor, changed: Changed) -> Tensor:
    """Rows (N, K) -> float64 (groups, K), by how much each group's rows changed on the average."""
    apart = (changed.components - unchanged[changed.places]).double()
    counts = changed.groups.bincount()
    sums = torch.zeros(len(counts), apart.shape[1], dtype=torch.float64).index_add_(0, changed.groups, apart)
    return sums / counts[:, None]
