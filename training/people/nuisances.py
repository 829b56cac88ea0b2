"""Changes that pictures of different people share, so that alike in condition is not alike in identity.

Pictures of one camera, place or occasion resemble each other whoever they show. If each training picture is changed
alone, the loss never sees strangers who are alike in all but identity, and the network takes the likeness for identity.
So a batch is divided into groups of people, and the pictures at the same place of a group's people get the same draw of
covers, light, blur, noise and the rest.

B batch, b pictures of this process, C channels, G pictures that share a draw, H W pixels
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from model.errors import TrainingError
from training.people.covers import COVERS, Eyes, cover
from training.people.photo_changes import CHANGES, Change, Draws, backlight


@dataclass(frozen=True, kw_only=True)
class Nuisances:
    """How often pictures of different people are changed alike.

    `people` is the size of a group. A group's pictures at one place are changed with `probability`; of them, the share
    `covered` gets glasses, a mask or a hat, and each other kind of change occurs with the probability `each`.
    """

    people: int = 24
    probability: float = 0.6
    covered: float = 0.3
    each: float = 0.22

    def __post_init__(self) -> None:
        if self.people < 1 or not all(0 <= share <= 1 for share in (self.probability, self.covered, self.each)):
            raise TrainingError(
                "nuisances: people must be positive, and probability, covered and each lie between 0 and 1"
            )


@dataclass(frozen=True, kw_only=True)
class Group:
    """The indices int64 (G,) of the pictures that share a draw, and what is done to them.

    If others of the `count` pictures are in other processes, `kept` are the places of those that are here.
    """

    pictures: Tensor
    cover: int | None
    changes: tuple[Change, ...]
    count: int = 0
    kept: Tensor | None = None

    def within(self, mine: Tensor, images: int) -> "Group":
        """The group among the pictures at the places `mine` int64 (b,) of a batch with that many `images`."""
        places = torch.full((images,), -1).index_copy(0, mine, torch.arange(len(mine)))[self.pictures]
        kept = (places >= 0).nonzero().flatten()
        return replace(self, pictures=places[kept], count=len(places), kept=kept)

    def apply(self, changes: Iterable[Change], images: Tensor, draws: Draws) -> None:
        """Changes the group's pictures of float32 (b, C, H, W), 0..1, in place."""
        chosen, kept = self.pictures, self.kept
        if not len(chosen) and not self.count:  # empty in every process, as where all people have several
            return
        if not len(chosen):  # the same is drawn, for a picture that is then left as it is
            chosen, kept = torch.tensor([0]), torch.tensor([0])
        changed, own = images[chosen], Draws(draws.generator, self.count, kept)
        for change in changes:
            changed = change(changed, own)
        images[self.pictures] = changed[: len(self.pictures)]


def draw_groups(
    people: int,
    pictures: int,
    singles: int,
    changes: Nuisances,
    draws: Draws,
    *,
    backlit: float = 0,
    eyes: Eyes | None = None,
) -> list[Group]:
    """The changed groups of a batch in the order of `people_batches.assemble`: people with pictures, singles twice.

    The share `backlit` of them is lit from behind faces with these `eyes`.
    """
    groups = []
    for members in _members(people, pictures, singles, changes.people, draws.generator):
        if not draws.happens(changes.probability):
            continue
        covered = draws.one_of(COVERS) if draws.happens(changes.covered) else None
        chosen = tuple(change for change in CHANGES if draws.happens(changes.each))
        if backlit and eyes and draws.happens(backlit):
            chosen = (partial(backlight, eyes=eyes), *chosen)
        groups.append(Group(pictures=members, cover=covered, changes=chosen))
    return groups


def cover_groups(images: Tensor, groups: list[Group], eyes: Eyes, draws: Draws) -> Tensor:
    """float32 (B, C, H, W), 0..1 -> the same with covers, before pictures are moved one by one."""
    for group in groups:
        if group.cover is not None:
            group.apply([partial(_covered, kind=group.cover, eyes=eyes)], images, draws)
    return images


def change_groups(images: Tensor, groups: list[Group], draws: Draws) -> Tensor:
    """float32 (B, C, H, W), 0..1 -> the same with each group's light, blur, noise and the rest."""
    for group in groups:
        group.apply(group.changes, images, draws)
    return images


def _covered(images: Tensor, draws: Draws, *, kind: int, eyes: Eyes) -> Tensor:
    return cover(images, kind, eyes, draws.between)


def _members(people: int, pictures: int, singles: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    for group in torch.randperm(people, generator=generator).split(size):
        yield from (group * pictures + place for place in range(pictures))
    for group in torch.randperm(singles, generator=generator).split(size):
        yield from (people * pictures + place * singles + group for place in range(2))
