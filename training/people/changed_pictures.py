"""Pictures of different people changed alike, by which is fitted what training does not learn.

C channels, G pictures of a group, H W pixels, N pictures
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from model.networks import embedder
from training.data.album import Album
from training.people.covers import Eyes
from training.people.nuisances import Group, Nuisances, change_groups, cover_groups, draw_groups
from training.people.photo_changes import Draws

# Four fifths of the groups are changed, most by one change or two.
CHANGES = Nuisances(probability=1, covered=0.4, each=0.1)
BACKLIT = 0.1


def changed_groups(
    album: Album, pictures: Tensor, draws: torch.Generator, most: int = CHANGES.people
) -> Iterator[tuple[Tensor, Tensor]]:
    """The pictures int64 (N,) of an album of aligned faces in groups of at most `most`, each group changed alike.

    Yields a group's images float32 (G, C, H, W), 0 to 1, and their places int64 (G,) among the N. Groups that no change
    was drawn for are left out.
    """
    eyes, drawn = Eyes.of(album.preprocessing), Draws(draws)
    for group in draw_groups(len(pictures), 1, 0, replace(CHANGES, people=most), drawn, backlit=BACKLIT, eyes=eyes):
        if not len(group.pictures) or (group.cover is None and not group.changes):
            continue
        images = embedder.to_unit(album.pixels[pictures[group.pictures]])
        whole: list[Group] = [replace(group, pictures=torch.arange(len(images)))]
        yield change_groups(cover_groups(images, whole, eyes, drawn), whole, drawn), group.pictures
