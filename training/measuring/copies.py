"""Finds pictures that occur twice: identical crops, and copies under two names, such as one saved again as JPEG.

Under two names a copy is the surest impostor pair, and one of them is enough to move the threshold of a low rate.

N pictures, H W pixels, D embedding
"""

from collections.abc import Iterator
from hashlib import sha256

import torch
from torch import Tensor
from torch.nn import functional

from model.arrays import Embeddings
from model.errors import DataError
from training.data.album import Album, name_of

# Two pictures under two names are copies if their embeddings have at least this cosine, and their crops this
# correlation, one of them mirrored or not. The log in docs/accuracy.md has what copies and strangers have.
MIN_COSINE, MIN_CORRELATION = 0.9, 0.8
# Without embeddings crops alone must be this much alike. The log has what copies and strangers have.
MIN_CORRELATION_ALONE = 0.96
# All pairs of more pictures would take minutes.
MAX_COMPARED = 20_000
# Crops are compared in grey at this side, at which compression and small shifts of the crop hardly show.
SIDE_PX = 32
# Rows of the table of cosines that are computed at once.
ROWS = 256
# How many pairs an error lists.
NAMED = 5


def require_distinct(album: Album, pictures: Tensor) -> None:
    """Raises DataError for identical crops among the album's pictures int64 (N,)."""
    pairs = _identical(album, pictures)
    twice = [f"{name_of(album.keys[left])} and {name_of(album.keys[right])}" for left, right in pairs]
    if twice:
        raise DataError(f"some pictures are identical; keep one of each: {_listed(twice)}")


def require_no_copies(album: Album, pictures: Tensor, embeddings: Embeddings) -> None:
    """Raises DataError for copies under two names among the album's pictures int64 (N,), embedded (N, D)."""
    found = [
        f"{name_of(album.keys[left])} and {name_of(album.keys[right])}"
        for left, right in copies_under_two_names(album, pictures, embeddings)
    ]
    if found:
        raise DataError(
            "some pictures are nearly the same under two names; keep one of each, or add --keep-alike if they are "
            f"different pictures of different people: {_listed(found)}"
        )


def distinct_pictures(album: Album) -> Tensor:
    """The album's indices int64 (N,) without those whose crop occurs before."""
    every = torch.arange(len(album.keys))
    again = [second for _, second in _identical(album, every)]
    return every[~torch.isin(every, torch.tensor(again, dtype=torch.int64))]


def copies_under_two_names(album: Album, pictures: Tensor, embeddings: Embeddings) -> list[tuple[int, int]]:
    """Pictures int64 (N,) with embeddings of length 1 (N, D) -> the album's indices of each two that are copies."""
    alike = _alike(album, pictures, torch.from_numpy(embeddings), MIN_COSINE)
    return [pair for pair in alike if _correlation(album, *pair) >= MIN_CORRELATION]


def describe_copies(album: Album) -> str:
    """The album's crops that look like copies under two names, for a message; "" if there are none."""
    if len(album.keys) > MAX_COMPARED:
        return f"copies under two names are looked for among at most {MAX_COMPARED:,} pictures"
    pairs = _alike_crops(album, one_person=False)
    return f"{len(pairs)} pairs of pictures look like copies under two names: {_listed(pairs)}" if pairs else ""


def describe_copies_of_one_person(album: Album) -> str:
    """The album's crops that look like copies of another of the same person, for a message; "" if there are none."""
    if len(album.keys) > MAX_COMPARED:
        return ""
    pairs = _alike_crops(album, one_person=True)
    what = "pairs of pictures look like copies under one name, which make a network look better than it is"
    return f"{len(pairs)} {what}: {_listed(pairs)}" if pairs else ""


def require_none_under_two_names(album: Album) -> None:
    """Raises DataError for crops that look like copies under two names; does nothing for very many pictures."""
    if len(album.keys) <= MAX_COMPARED and (pairs := _alike_crops(album, one_person=False)):
        raise DataError(
            "some pictures look like copies under two names, so that one of each has a wrong name; keep one of each, "
            f"or add --keep-alike if they are different pictures of different people: {_listed(pairs)}"
        )


def _alike_crops(album: Album, *, one_person: bool) -> list[str]:
    """The names of each two pictures whose crops are nearly the same."""
    rows = torch.stack([_shrunk(pixels).flatten() for pixels in album.pixels])
    found = _alike(album, torch.arange(len(rows)), rows, MIN_CORRELATION_ALONE, one_person=one_person)
    return [f"{name_of(album.keys[left])} and {name_of(album.keys[right])}" for left, right in found]


def _alike(
    album: Album, pictures: Tensor, rows: Tensor, least: float, *, one_person: bool = False
) -> list[tuple[int, int]]:
    """Pictures int64 (N,) with rows of length 1 (N, D) -> the album's indices of each two whose cosine is `least`.

    They are of two people, or with `one_person` of one.
    """
    names, found = [album.keys[number][0] for number in pictures.tolist()], []
    for start in range(0, len(rows), ROWS):
        for row, other in (rows[start : start + ROWS] @ rows[start:].T >= least).nonzero().tolist():
            left, right = start + row, start + other
            if left < right and (names[left] == names[right]) == one_person:
                found.append((int(pictures[left]), int(pictures[right])))
    return found


def _correlation(album: Album, left: int, right: int) -> float:
    """The higher correlation of two grey crops, one of them as it is or mirrored."""
    one, other = (_shrunk(album.pixels[number]) for number in (left, right))
    return max(float((one * each).sum()) for each in (other, other.flip(1)))


def _shrunk(pixels: Tensor) -> Tensor:
    """A crop uint8 (H, W) or (H, W, 3) -> float32 (SIDE_PX, SIDE_PX), grey, with mean 0 and length 1."""
    grey = pixels.float() if pixels.ndim == 2 else pixels.float().mean(2)
    small = functional.adaptive_avg_pool2d(grey[None], SIDE_PX)[0]
    apart = small - small.mean()
    shrunk: Tensor = apart / apart.norm().clamp_min(1e-6)
    return shrunk


def _identical(album: Album, pictures: Tensor) -> Iterator[tuple[int, int]]:
    known: dict[bytes, int] = {}
    for number in pictures.tolist():
        first = known.setdefault(sha256(album.pixels[number].numpy().tobytes()).digest(), number)
        if first != number:
            yield first, number


def _listed(named: list[str]) -> str:
    more = f", and {len(named) - NAMED} more" if len(named) > NAMED else ""
    return ", ".join(named[:NAMED]) + more
