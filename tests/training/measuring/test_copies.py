"""Pictures that occur twice are refused by name before anything is measured."""

import io
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
from training.data.album import Album, name_of
from training.data.preparation import open_album
from training.measuring import copies
from training.measuring.copies import (
    copies_under_two_names,
    describe_copies,
    describe_copies_of_one_person,
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


def embedded(network: FaceNetwork, album: Album) -> Embeddings:
    found: Embeddings = scoring.embed_all(network, album, every(album)).numpy()
    return found


@pytest.mark.parametrize("change", ["resaved", "half", "mirrored"])
def test_copy_under_another_name_is_refused_by_name(tmp_path: Path, network: FaceNetwork, change: str) -> None:
    album = album_with(tmp_path, ("Person_0/Person_0_0002", "Person_4/z", change))
    embeddings = embedded(network, album)
    found = copies_under_two_names(album, every(album), embeddings)
    assert (album.names.index("Person_0/Person_0_0002"), album.names.index("Person_4/z")) in found
    with pytest.raises(DataError, match="nearly the same under two names; keep one of each, or add --keep-alike"):
        require_no_copies(album, every(album), embeddings)


def rows(*cosines: float) -> Embeddings:
    """Embeddings whose cosine with the first one is given."""
    return np.array([(1, 0), *((cosine, (1 - cosine**2) ** 0.5) for cosine in cosines)], np.float32)


def noise_album(*keys: tuple[str, str]) -> Album:
    """Three crops: noise, the same with a little noise added, and other noise."""
    draws = np.random.default_rng(0)
    first, other = draws.integers(30, 220, (2, 32, 32))
    pixels = np.stack([first, first + draws.integers(0, 20, (32, 32)), other]).astype(np.uint8)
    return Album(keys=list(keys), pixels=torch.from_numpy(pixels), sha256="", preprocessing=PreprocessingConfig())


@pytest.mark.parametrize(
    ("second", "cosines", "found"),
    [
        ("B", (0.91, 0.95), [(0, 1)]),  # the third is like the first in its embedding alone
        ("B", (0.89, 0.0), []),
        ("A", (0.91, 0.95), []),  # pictures that follow each other in a film are nearly the same too
    ],
)
def test_copies_have_similar_embeddings_and_pixels_and_two_names(
    second: str, cosines: tuple[float, float], found: list[tuple[int, int]]
) -> None:
    album = noise_album(("A", "1"), (second, "2"), ("C", "3"))
    assert copies_under_two_names(album, every(album), rows(*cosines)) == found


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
    assert describe_copies(album) == "1 pairs of pictures look like copies under two names: P1/1 and P3/forwarded"


def test_only_copies_under_two_names_are_described(monkeypatch: pytest.MonkeyPatch) -> None:
    found = describe_copies(noise_album(("A", "1"), ("B", "2"), ("C", "3")))
    assert found == "1 pairs of pictures look like copies under two names: A/1 and B/2"
    assert describe_copies(noise_album(("A", "1"), ("A", "2"), ("C", "3"))) == ""
    monkeypatch.setattr(copies, "MAX_COMPARED", 2)
    assert describe_copies(noise_album(("A", "1"), ("B", "2"), ("C", "3"))).endswith("among at most 2 pictures")


def test_copies_of_one_person_are_described_apart() -> None:
    album = noise_album(("A", "1"), ("A", "2"), ("C", "3"))
    found = describe_copies_of_one_person(album)
    assert found.startswith("1 pairs of pictures look like copies under one name, which make a network look better")
    assert found.endswith(": A/1 and A/2")
    assert describe_copies_of_one_person(noise_album(("A", "1"), ("B", "2"), ("C", "3"))) == ""


def test_copies_under_two_names_are_refused_without_a_network() -> None:
    require_none_under_two_names(noise_album(("A", "1"), ("A", "2"), ("C", "3")))
    message = r"one of each has a wrong name; keep one of each, or add --keep-alike .*: A/1 and B/2$"
    with pytest.raises(DataError, match=message):
        require_none_under_two_names(noise_album(("A", "1"), ("B", "2"), ("C", "3")))


def test_pictures_that_are_not_used_are_not_looked_at() -> None:
    album = noise_album(("A", "1"), ("B", "2"), ("C", "3"))
    assert copies_under_two_names(album, torch.tensor([0, 2]), rows(0.99)) == []
    assert copies_under_two_names(album, torch.tensor([1, 0]), rows(0.99)) == [(1, 0)]


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
