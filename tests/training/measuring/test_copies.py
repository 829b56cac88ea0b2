"""Pictures that occur twice are refused by name before anything is measured."""

import io
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from app.settings import SHIPPED
from model.arrays import Embeddings
from model.checkpoint import load
from model.errors import DataError
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.architecture import restore
from model.networks.face_network import FaceNetwork
from tests.training.support.small_faces import draw_faces
from training import scoring
from training.data.album import Album, Key, PairSet, name_of
from training.data.preparation import open_album
from training.measuring import copies, samples
from training.measuring.copies import (
    copies_under_one_name,
    copies_under_two_names,
    describe_copies,
    distinct_pictures,
    require_distinct,
    require_no_copies,
    require_none_under_two_names,
)


def add(folder: Path, source: str, target: str, change: str) -> None:
    """Adds the picture PERSON/FILE as another one: as it is, or changed and saved again as JPEG."""
    path = folder / "people" / f"{source}.png"
    if change == "same":
        (folder / "people" / f"{target}.png").write_bytes(path.read_bytes())
        return
    image = Image.open(path).convert("RGB")
    if change == "half":
        image = image.resize((image.width // 2, image.height // 2))
    if change == "mirrored":
        image = ImageOps.mirror(image)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=60)
    (folder / "people" / f"{target}.jpg").write_bytes(file.getvalue())


def album_with(folder: Path, *copies: tuple[str, str, str]) -> Album:
    """Ten drawn people, and copies (source, target, change)."""
    draw_faces(folder)
    for copy in copies:
        add(folder, *copy)
    return open_album(folder / "people", folder / "cache", load(SHIPPED).header.preprocessing, "largest")


def every(album: Album) -> torch.Tensor:
    return torch.arange(len(album.keys))


@pytest.fixture(scope="module")
def network() -> FaceNetwork:
    return restore(load(SHIPPED))


def embedded(network: FaceNetwork, album: Album, *, mirrored: bool = False) -> Embeddings:
    found: Embeddings = scoring.embed_all(network, album, every(album), mirrored=mirrored).numpy()
    return found


@pytest.mark.parametrize("change", ["resaved", "half", "mirrored"])
def test_copy_under_another_name_is_refused_by_name(tmp_path: Path, network: FaceNetwork, change: str) -> None:
    album = album_with(tmp_path, ("Person_0/Person_0_0002", "Person_4/z", change))
    embeddings, mirrored = embedded(network, album), embedded(network, album, mirrored=True)
    found = found_copies(album, every(album), embeddings, mirrored)
    assert [album.names.index("Person_0/Person_0_0002"), album.names.index("Person_4/z")] in found
    with pytest.raises(DataError, match="nearly the same under two names; keep one of each, or add --keep-alike"):
        require_no_copies(album, every(album), embeddings, mirrored)


def found_copies(
    album: Album, pictures: torch.Tensor, embeddings: Embeddings, mirrored: Embeddings | None = None
) -> list[list[int]]:
    """Without `mirrored`, mirror images are like nothing."""
    others = np.zeros_like(embeddings) if mirrored is None else mirrored
    return [pair for pairs in copies_under_two_names(album, pictures, embeddings, others) for pair in pairs.tolist()]


def rows(*cosines: float) -> Embeddings:
    """Embeddings whose cosine with the first one is given."""
    return np.array([(1, 0), *((cosine, (1 - cosine**2) ** 0.5) for cosine in cosines)], np.float32)


def noise_album(*keys: tuple[str, str]) -> Album:
    """Three crops: noise, the same with a little noise added, and other noise."""
    draws = np.random.default_rng(0)
    first, other = draws.integers(30, 220, (2, 32, 32))
    pixels = np.stack([first, first + draws.integers(0, 20, (32, 32)), other]).astype(np.uint8)
    return Album(keys=list(keys), pixels=torch.from_numpy(pixels), sha256="", preprocessing=PreprocessingConfig())


def test_a_genuine_pair_of_a_picture_and_its_copy_is_left_out() -> None:
    album = noise_album(("A", "1"), ("A", "2"), ("A", "3"))
    assert copies_under_one_name(album, every(album)).tolist() == [[0, 1]]
    assert copies_under_one_name(noise_album(("A", "1"), ("B", "2"), ("A", "3")), every(album)).tolist() == []
    both = PairSet(left=torch.tensor([0, 1, 0]), right=torch.tensor([1, 2, 2]), same=torch.ones(3))
    kept = samples.without_copies(album, every(album), both)
    assert (kept.left.tolist(), kept.right.tolist()) == ([1, 0], [2, 2])
    assert len(samples.without_copies(album, every(album), both[torch.tensor([0])])) == 0


@pytest.mark.parametrize(
    ("second", "cosines", "found"),
    [
        ("B", (0.91, 0.95), [[0, 1]]),  # the third is like the first in its embedding alone
        ("B", (0.89, 0.0), []),
        ("A", (0.91, 0.95), []),  # pictures that follow each other in a film are nearly the same too
    ],
)
def test_copies_have_similar_embeddings_and_pixels_and_two_names(
    second: str, cosines: tuple[float, float], found: list[list[int]]
) -> None:
    album = noise_album(("A", "1"), (second, "2"), ("C", "3"))
    assert found_copies(album, every(album), rows(*cosines)) == found


def test_a_mirrored_copy_has_the_embedding_of_the_mirror_image() -> None:
    """Networks that do not average a crop and its mirror image give a mirrored copy another embedding."""
    album = noise_album(("A", "1"), ("B", "2"), ("C", "3"))
    pixels = torch.stack([album.pixels[0], album.pixels[1].flip(1), album.pixels[2]])
    mirrored = Album(keys=album.keys, pixels=pixels, sha256="", preprocessing=album.preprocessing)
    plain = rows(0.5, 0.0)
    assert found_copies(mirrored, every(album), plain) == []
    assert found_copies(mirrored, every(album), plain, rows(0.95, 0.95)) == [[0, 1]]


@pytest.mark.parametrize("half", [False, True])
def test_crop_that_was_saved_again_is_described_without_a_network(half: bool) -> None:
    """Four crops of smooth noise, and one of them again."""
    coarse = np.random.default_rng(0).integers(0, 255, (4, 12, 12), dtype=np.uint8)
    crops = [Image.fromarray(each).resize((100, 100), Image.Resampling.BICUBIC) for each in coarse]
    file = io.BytesIO()
    (crops[1].resize((50, 50)) if half else crops[1]).save(file, "JPEG", quality=60)
    crops.append(Image.open(file).resize((100, 100)))
    keys = [(f"P{number}", "1") for number in range(4)] + [("P3", "forwarded")]
    pixels = torch.from_numpy(np.stack([np.asarray(crop) for crop in crops]))
    album = Album(keys=keys, pixels=pixels, sha256="", preprocessing=PreprocessingConfig())
    found = "1 pairs of pictures look like copies under two names: P1/1 and P3/forwarded"
    assert describe_copies(album) == (found, "")


def test_only_copies_under_two_names_are_described(monkeypatch: pytest.MonkeyPatch) -> None:
    album = noise_album(("A", "1"), ("B", "2"), ("C", "3"))
    assert describe_copies(album) == ("1 pairs of pictures look like copies under two names: A/1 and B/2", "")
    monkeypatch.setattr(copies, "MAX_COMPARED", 2)
    two_names, one_name = describe_copies(album)
    assert two_names.endswith("among at most 2 pictures")
    assert one_name == ""


def test_copies_of_one_person_are_described_apart() -> None:
    album = noise_album(("A", "1"), ("A", "2"), ("C", "3"))
    two_names, found = describe_copies(album)
    assert two_names == ""
    assert found.startswith("1 pairs of pictures look like copies under one name, which make a network look better")
    assert found.endswith(": A/1 and A/2")


def linked_album(which: Sequence[int], people: int) -> Album:
    """Pictures of people in turn, each one of some crops of noise, as links to a few files are."""
    noise = np.random.default_rng(0).integers(30, 220, (max(which) + 1, 32, 32, 3)).astype(np.uint8)
    keys = [(f"P{number % people:04d}", f"{number // people:02d}") for number in range(len(which))]
    pixels = torch.from_numpy(noise[list(which)])
    return Album(keys=keys, pixels=pixels, sha256="", preprocessing=PreprocessingConfig())


def test_many_copies_are_counted_and_a_few_are_named() -> None:
    """As in a slow loop over all pairs."""
    which = np.random.default_rng(0).integers(0, 3, 600).tolist()
    album = linked_album(which, people=40)
    alike = [(left, right) for left, right in combinations(range(len(which)), 2) if which[left] == which[right]]
    for found, one_person in zip(describe_copies(album), (False, True), strict=True):
        expected = [pair for pair in alike if (pair[0] % 40 == pair[1] % 40) == one_person]
        assert found.startswith(f"{len(expected)} pairs of pictures look like copies under ")
        assert found.endswith(f", and {len(expected) - copies.NAMED} more")
        named = found.partition(": ")[2].rpartition(", and ")[0].split(", ")
        assert named == [" and ".join(album.names[each] for each in pair) for pair in expected[: copies.NAMED]]
    with pytest.raises(DataError, match=rf", and {len(which) - 3 - copies.NAMED} more$"):
        require_distinct(album, every(album))


def test_copies_that_are_not_named_cost_no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair that is only counted costs no Python: 20,000 links to a few files have millions of pairs."""
    album, named = linked_album([0] * 1500, people=1500), []

    def count(key: Key) -> str:
        named.append(key)
        return name_of(key)

    monkeypatch.setattr(copies, "name_of", count)
    two_names, one_name = describe_copies(album)
    assert two_names.startswith(f"{1500 * 1499 // 2} pairs of pictures look like copies under two names: P0000/00 and")
    assert one_name == ""
    embeddings = np.tile(np.array([1, 0], np.float32), (1500, 1))
    with pytest.raises(DataError, match=rf"and {200 * 199 // 2 - copies.NAMED} more$"):
        require_no_copies(album, every(album)[:200], embeddings[:200], embeddings[:200])
    assert len(named) == 2 * 2 * copies.NAMED


def test_copies_under_two_names_are_refused_without_a_network() -> None:
    require_none_under_two_names(noise_album(("A", "1"), ("A", "2"), ("C", "3")))
    message = r"one of each has a wrong name; keep one of each, or add --keep-alike .*: A/1 and B/2$"
    with pytest.raises(DataError, match=message):
        require_none_under_two_names(noise_album(("A", "1"), ("B", "2"), ("C", "3")))


def test_pictures_that_are_not_used_are_not_looked_at() -> None:
    album = noise_album(("A", "1"), ("B", "2"), ("C", "3"))
    assert found_copies(album, torch.tensor([0, 2]), rows(0.99)) == []
    assert found_copies(album, torch.tensor([1, 0]), rows(0.99)) == [[1, 0]]


@pytest.mark.parametrize("target", ["Person_4/z", "Person_0/z"])
def test_identical_pictures_are_refused_under_any_name(tmp_path: Path, target: str) -> None:
    album = album_with(tmp_path, ("Person_0/Person_0_0002", target, "same"))
    with pytest.raises(DataError, match=f"identical; keep one of each: Person_0/Person_0_0002 and {target}$"):
        require_distinct(album, every(album))
    kept = [name_of(album.keys[number]) for number in distinct_pictures(album).tolist()]
    assert sorted([*kept, target]) == sorted(album.names)


def test_error_lists_a_few_pairs(tmp_path: Path) -> None:
    sources = [f"Person_7/Person_7_{number:04d}" for number in range(1, 6)] + ["Person_2/Person_2_0001"]
    album = album_with(tmp_path, *((source, f"Person_4/z{n}", "same") for n, source in enumerate(sources)))
    with pytest.raises(DataError, match=r", and 1 more$"):
        require_distinct(album, every(album))
