"""Finds pictures that occur twice: identical crops, and copies, such as one saved again as JPEG.

Under two names a copy is the surest impostor pair, and one of them is enough to move the threshold of a low rate. Under
one name it is the surest genuine pair.

N pictures, P pairs, H W pixels, D embedding
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from model.arrays import Embeddings
from model.errors import DataError
from training.data.album import Album, name_of

# Two pictures under two names are copies if their embeddings have at least this cosine, and their crops this
# correlation, both with one of them mirrored or not. The log in docs/accuracy.md has what copies and strangers have.
MIN_COSINE, MIN_CORRELATION = 0.9, 0.8
# Without embeddings crops alone must be this much alike. The log has what copies and strangers have.
MIN_CORRELATION_ALONE = 0.96
# All pairs of more pictures would take minutes.
MAX_COMPARED = 20_000
# Crops are compared in grey at this side, at which compression and small shifts of the crop hardly show.
SIDE_PX = 32
# Rows of the table of cosines, crops, and pairs of crops that are computed at once.
ROWS, CROPS, PAIRS = 256, 256, 4096
# How many pairs an error lists.
NAMED = 5


@dataclass(kw_only=True)
class _Found:
    """How many pairs of pictures were found, and the names of the first ones. There may be millions."""

    album: Album
    count: int = 0
    named: list[str] = field(default_factory=list)

    def add(self, pairs: Tensor) -> None:
        """Pairs as the album's indices int64 (P, 2)."""
        self.count += len(pairs)
        for left, right in pairs[: NAMED - len(self.named)].tolist():
            self.named.append(f"{name_of(self.album.keys[left])} and {name_of(self.album.keys[right])}")

    @classmethod
    def of(cls, album: Album, parts: Iterable[Tensor]) -> "_Found":
        found = cls(album=album)
        for pairs in parts:
            found.add(pairs)
        return found

    def __str__(self) -> str:
        more = f", and {self.count - NAMED} more" if self.count > NAMED else ""
        return ", ".join(self.named) + more


def require_distinct(album: Album, pictures: Tensor) -> None:
    """Raises DataError for identical crops among the album's pictures int64 (N,)."""
    twice = _Found.of(album, (torch.tensor([pair]) for pair in _identical(album, pictures)))
    if twice.count:
        raise DataError(f"some pictures are identical; keep one of each: {twice}")


def require_no_copies(album: Album, pictures: Tensor, embeddings: Embeddings, mirrored: Embeddings) -> None:
    """Raises DataError for copies under two names among the album's pictures int64 (N,).

    They are embedded as they are and as mirror images (N, D).
    """
    found = _Found.of(album, copies_under_two_names(album, pictures, embeddings, mirrored))
    if found.count:
        raise DataError(
            "some pictures are nearly the same under two names; keep one of each, or add --keep-alike if they are "
            f"different pictures of different people: {found}"
        )


def distinct_pictures(album: Album) -> Tensor:
    """The album's indices int64 (N,) without those whose crop occurs before."""
    every = torch.arange(len(album.keys))
    again = [second for _, second in _identical(album, every)]
    return every[~torch.isin(every, torch.tensor(again, dtype=torch.int64))]


def copies_under_two_names(
    album: Album, pictures: Tensor, embeddings: Embeddings, mirrored: Embeddings
) -> Iterator[Tensor]:
    """Pictures int64 (N,) with embeddings of length 1 (N, D), as they are and as mirror images -> the album's indices
    of each two that are copies.

    In parts, int64 (P, 2).
    """
    rows, others = torch.from_numpy(embeddings), torch.from_numpy(mirrored)
    for alike, same in _alike(album, pictures, rows, MIN_COSINE, others):
        if len(of_two := alike[~same]):
            for pairs in of_two.split(PAIRS):
                yield pairs[_correlations(album, pairs) >= MIN_CORRELATION]


def copies_under_one_name(album: Album, pictures: Tensor) -> Tensor:
    """The album's indices int64 (P, 2) of each two of the pictures int64 (N,) of one person whose crops are copies.

    Of very many pictures none is looked for.
    """
    if len(pictures) > MAX_COMPARED:
        return torch.empty(0, 2, dtype=torch.int64)
    alike = _alike(album, pictures, _shrunk(album, pictures).flatten(1), MIN_CORRELATION_ALONE)
    return torch.cat([torch.empty(0, 2, dtype=torch.int64), *(pairs[same] for pairs, same in alike)])


def describe_copies(album: Album) -> tuple[str, str]:
    """Two messages about the album's crops that look like copies; "" if there are none.

    The first is about those under two names, the second about those of one person.
    """
    if len(album.keys) > MAX_COMPARED:
        return f"copies under two names are looked for among at most {MAX_COMPARED:,} pictures", ""
    two, one = _alike_crops(album)
    return (
        f"{two.count} pairs of pictures look like copies under two names: {two}" if two.count else "",
        f"{one.count} pairs of pictures look like copies under one name, which make a network look better than it is: "
        f"{one}"
        if one.count
        else "",
    )


def require_none_under_two_names(album: Album) -> None:
    """Raises DataError for crops that look like copies under two names; does nothing for very many pictures."""
    if len(album.keys) <= MAX_COMPARED and (found := _alike_crops(album)[0]).count:
        raise DataError(
            "some pictures look like copies under two names, so that one of each has a wrong name; keep one of each, "
            f"or add --keep-alike if they are different pictures of different people: {found}"
        )


def _alike_crops(album: Album) -> tuple[_Found, _Found]:
    """Pictures whose crops are nearly the same: those of two people, and those of one."""
    every = torch.arange(len(album.keys))
    two, one = _Found(album=album), _Found(album=album)
    for pairs, same in _alike(album, every, _shrunk(album, every).flatten(1), MIN_CORRELATION_ALONE):
        two.add(pairs[~same])
        one.add(pairs[same])
    return two, one


def _alike(
    album: Album, pictures: Tensor, rows: Tensor, least: float, others: Tensor | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Pictures int64 (N,) with rows of length 1 (N, D) -> those of each two whose cosine is `least`, in parts.

    A picture may also be `least` like the row that another has in `others`.
    A part has the album's indices int64 (P, 2), and whether both are of one person, bool (P,).
    """
    names = [album.keys[number][0] for number in pictures.tolist()]
    people = torch.from_numpy(np.unique(names, return_inverse=True)[1])
    for start in range(0, len(rows), ROWS):
        # A row is compared with the rows after it.
        near = rows[start : start + ROWS] @ rows[start:].T >= least
        if others is not None:
            near |= rows[start : start + ROWS] @ others[start:].T >= least
        near = near.triu(1)
        left, right = (start + near.nonzero()).unbind(1)
        yield torch.stack([pictures[left], pictures[right]], 1), people[left] == people[right]


def _correlations(album: Album, pairs: Tensor) -> Tensor:
    """The higher correlation of the grey crops of each pair, int64 (P, 2), one as it is or mirrored: float32 (P,)."""
    used, places = pairs.unique(return_inverse=True)
    crops = _shrunk(album, used)
    one, other = crops[places[:, 0]], crops[places[:, 1]]
    return torch.maximum((one * other).sum((1, 2)), (one * other.flip(2)).sum((1, 2)))


def _shrunk(album: Album, pictures: Tensor) -> Tensor:
    """Crops of the album's pictures int64 (N,), in grey, with mean 0 and length 1: float32 (N, SIDE_PX, SIDE_PX)."""
    found = torch.empty(len(pictures), SIDE_PX, SIDE_PX)
    for some, chosen in zip(found.split(CROPS), pictures.split(CROPS), strict=True):
        pixels = album.pixels[chosen].float()
        grey = pixels if pixels.ndim == 3 else pixels.mean(3)
        some[:] = functional.adaptive_avg_pool2d(grey, SIDE_PX)
        some -= some.mean((1, 2), keepdim=True)
        some /= some.flatten(1).norm(dim=1).clamp_min(1e-6)[:, None, None]
    return found


def _identical(album: Album, pictures: Tensor) -> Iterator[tuple[int, int]]:
    known: dict[bytes, int] = {}
    for number in pictures.tolist():
        first = known.setdefault(sha256(album.pixels[number].numpy().tobytes()).digest(), number)
        if first != number:
            yield first, number
