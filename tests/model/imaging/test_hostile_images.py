"""Public collections of images that break decoders; FACEPAIR_HOSTILE_IMAGES names their folder."""

from pathlib import Path

import pytest

from model.errors import ImageError, UnsupportedImage
from model.imaging.decoding import ImageLimits, decode
from model.imaging.preprocessing import PreprocessingConfig
from tests.model.support.pictures import difference, prepare

CONFIG = PreprocessingConfig()
NO_LOWER_LIMIT = ImageLimits(min_side_px=1)
OURS = {".jpg", ".jpeg", ".png", ".webp"}

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about damaged metadata


def test_every_file_is_decoded_or_refused(hostile: Path) -> None:
    decoded = 0
    for path in sorted(path for path in hostile.rglob("*") if path.is_file()):
        try:
            assert prepare(path.read_bytes(), CONFIG, NO_LOWER_LIMIT).shape == (105, 105), path
            assert path.suffix in OURS, path
            decoded += 1
        except UnsupportedImage:
            assert path.suffix not in OURS or path.name.startswith("x"), path
        except ImageError:
            continue
    assert decoded > 300


def test_pngsuite_valid_files_decode_and_broken_ones_are_refused(hostile: Path) -> None:
    files = sorted((hostile / "pngsuite").rglob("*.png"))
    assert len(files) > 100
    taken = []
    for path in files:
        try:
            prepare(path.read_bytes(), CONFIG, NO_LOWER_LIMIT)
            taken.append(path.name)
        except ImageError:
            continue
    assert taken == [path.name for path in files if not path.name.startswith("x")]


@pytest.mark.parametrize("scene", ["Landscape", "Portrait"])
def test_all_orientations_of_a_scene_give_the_same_photo(hostile: Path, scene: str) -> None:
    files = [hostile / "exif-orientation" / f"{scene}_{number}.jpg" for number in range(9)]
    photographs = [decode(path.read_bytes(), CONFIG) for path in files]
    assert len({(each.width_px, each.height_px) for each in photographs}) == 1
    first = prepare(files[0].read_bytes(), CONFIG)
    for path in files[1:]:
        assert difference(prepare(path.read_bytes(), CONFIG), first) < 1, path


def test_photos_equal_those_of_image_rs(hostile: Path) -> None:
    """image-rs contains a plain PNG of what its own decoder makes of each file."""
    tests = hostile / "image-rs" / "tests"
    compared = 0
    for path in sorted(path for path in (tests / "images").rglob("*") if path.suffix in OURS):
        reference = (tests / "reference" / path.relative_to(tests / "images")).with_name(f"{path.name}.png")
        if reference.exists():
            ours, theirs = (prepare(file.read_bytes(), CONFIG, NO_LOWER_LIMIT) for file in (path, reference))
            assert difference(ours, theirs) < 2, path
            compared += 1
    assert compared > 20
