"""The batches of a run that learns from people: pictures drawn, blended, changed and normalised.

B pictures in a batch, H W pixels
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from model.networks.embedder import normalise, to_unit
from training.data.datasets import PeopleData
from training.learning.seeds import generator_for
from training.people.part_swap import masks_of, swap_parts
from training.people.people_augmentation import augment_batch, draw_batch
from training.people.people_experiment import IdentityExperiment
from training.people.sampler import BatchPlan, BatchSizes, plan_epoch


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Pictures float32 (B, C, H, W), normalised and channels_last; labels int64 (B,), one number for each person.

    The first `known` pictures are of people whom the classifier knows, by their numbers.
    """

    images: Tensor
    labels: Tensor
    known: int


def batches_in_epoch(experiment: IdentityExperiment, data: PeopleData) -> int:
    """As many as it takes for the pictures of people with several to be as many as all that are trained on."""
    return max(1, round(data.pictures / (experiment.people * experiment.pictures)))


def identity_batches(
    experiment: IdentityExperiment, data: PeopleData, epoch: int, device: torch.device
) -> Iterator[Batch]:
    """The batches of an epoch: people with several pictures, virtual people made of these, single pictures twice."""
    sizes = BatchSizes(people=experiment.people, pictures=experiment.pictures, singles=experiment.singles)
    draws = generator_for(experiment.seed, "people", epoch)
    changes = generator_for(experiment.seed, "augment", epoch)
    swaps = generator_for(experiment.seed, "swap", epoch)
    masks = masks_of(experiment.face, experiment.preprocessing.side_px)
    for plan in plan_epoch(data.several, data.single, sizes, batches_in_epoch(experiment, data), draws):
        images, labels = _assemble(experiment, data, plan, masks, swaps)
        images = augment_batch(images, draw_batch(len(images), experiment.augmentation, changes))
        images = normalise(images.to(device), experiment.preprocessing)
        images = images.contiguous(memory_format=torch.channels_last)
        yield Batch(images=images, labels=labels.to(device), known=plan.pictures.numel())


def _assemble(
    experiment: IdentityExperiment, data: PeopleData, plan: BatchPlan, masks: Tensor, swaps: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Pictures float32 (B, C, H, W), 0..1, and labels (B,): the known, the virtual, both views of the singles."""
    people, pictures = plan.pictures.shape
    known = to_unit(data.album.pixels[plan.pictures.flatten()])
    virtual = swap_parts(known.unflatten(0, (people, pictures)), masks, experiment.virtual, swaps)
    singles = to_unit(data.album.pixels[plan.singles])
    others = len(data.several) + torch.arange(len(virtual) + len(singles))
    made_up, alone = others[: len(virtual)], others[len(virtual) :]
    labels = [plan.people.repeat_interleave(pictures), made_up.repeat_interleave(pictures), alone, alone]
    return torch.cat([known, virtual.flatten(0, 1), singles, singles]), torch.cat(labels)
