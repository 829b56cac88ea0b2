"""Scenes show the wanted face where they say, are scored as the service would score them, and have a template."""

import io
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from model.checkpoint import load
from model.errors import DataError, FaceError
from model.imaging.decoding import decode
from model.imaging.detection import FaceFinder
from model.verifier import Verifier
from tests.drawing import encode
from tests.faces import DRAWN, Placed, scene
from tests.model.support.pictures import prepare
from training.commands.prepare import measure_template
from training.data.lists import Pair
from training.data.source import DataSource
from training.learning.experiments import ALIGNED
from training.measuring.scenes import KINDS, PASTED, Kind, Material, compose, measure_scenes

SIDE = 250
PERSONS = range(6)


def frame(person: int, *beside: Placed, inter_eye_px: float = 40) -> Image.Image:
    """A frame as LFW has it, a head in its middle, lit from the left, so that it differs from its mirror image."""
    drawn = scene(*beside, Placed(person=person, at=(125, 118), inter_eye_px=inter_eye_px), size=(SIDE, SIDE))
    light = np.linspace(1.2, 0.6, SIDE)[None, :, None]
    return Image.fromarray((np.asarray(drawn) * light).clip(0, 255).astype(np.uint8))


def middle(picture: Image.Image, x: float, y: float, half: float) -> np.ndarray:
    box = (x - half, y - half, x + half, y + half)
    return np.asarray(picture.resize((60, 60), Image.Resampling.BOX, box=box)).astype(float)


@pytest.mark.parametrize("large", [False, True])
def test_wanted_face_is_upright_at_the_recorded_place(large: bool) -> None:
    """Whatever the orientation of the file, and uncovered by the other faces."""
    kind = Kind(name="turned", turned=True, large=large)
    picture, others = frame(0), [frame(person) for person in PERSONS[1:5]]
    wanted = middle(picture, SIDE / 2, SIDE / 2, 0.4 * PASTED * SIDE)
    orientations = set()
    for seed in range(4 if large else 24):
        found = compose(picture, others, kind, np.random.default_rng(seed))
        stored = Image.open(io.BytesIO(found.data))
        orientations.add(stored.getexif()[0x0112])
        upright = ImageOps.exif_transpose(stored)
        shown = middle(upright, *found.centre, 0.4 * PASTED * found.frame_px)
        assert np.abs(shown - wanted).mean() < 8 < np.abs(shown - wanted[:, ::-1]).mean()
    assert large or orientations == set(range(2, 9))


def test_wanted_face_is_the_largest() -> None:
    others = [frame(person) for person in PERSONS[1:5]]
    finder = FaceFinder()
    for kind in KINDS[:4]:
        found = compose(frame(0), others, kind, np.random.default_rng(1))
        faces = finder.find(np.asarray(decode(found.data, ALIGNED).grey))
        assert len(faces) > 1 or not kind.composed
        off = faces[0].landmarks.mean(axis=0) - np.array(found.centre)
        assert np.abs(off).max() < 0.12 * found.frame_px


@pytest.mark.parametrize("kind", KINDS[:2])
def test_scores_equal_the_service(aligned_checkpoint_path: Path, kind: Kind) -> None:
    checkpoint, finder = load(aligned_checkpoint_path), FaceFinder()
    keys = [(f"Person_{person}", f"Person_{person}_0001") for person in PERSONS]
    pictures = {key: encode(frame(person)) for person, key in enumerate(keys)}
    pictures[keys[5]] = encode(scene(size=(SIDE, SIDE)))  # nobody
    others = [encode(frame(person)) for person in range(10, 14)]
    pairs = [Pair(left=left, right=right, line=line) for line, (left, right) in enumerate(pairwise(keys))]
    pairs += [Pair(left=key, right=key, line=0) for key in keys[:2]]
    result = measure_scenes(checkpoint, Material(pairs=pairs, pictures=pictures, others=others), kind)
    verifier = Verifier.of(checkpoint, "cpu")
    right = 0
    for pair in pairs:
        seen = []
        for key in (pair.left, pair.right):
            draws = np.random.default_rng([0, sorted(keys).index(key)])
            chosen = draws.choice(len(others), 4, replace=False)
            opened = [
                Image.open(io.BytesIO(data)).convert("RGB") for data in (pictures[key], *(others[i] for i in chosen))
            ]
            try:
                seen.append(prepare(compose(opened[0], opened[1:], kind, draws).data, ALIGNED, finder=finder))
            except FaceError:
                break
        if len(seen) == 2:
            embeddings = verifier.embed(np.stack(seen))
            similarity = float(verifier.compare(embeddings[:1], embeddings[1:])[0])
            right += (similarity >= checkpoint.header.threshold.value) == pair.same
    assert (result.pairs, result.pictures, result.found) == (7, 6, 5)
    assert result.accuracy.value == right / 7


def test_damaged_picture_is_refused(aligned_checkpoint_path: Path) -> None:
    key, others = ("Ada", "Ada_0001"), [encode(frame(person)) for person in PERSONS]
    pairs = [Pair(left=key, right=key, line=1)]
    material = Material(pairs=pairs, pictures={key: others[0][:200]}, others=others)
    with pytest.raises(DataError, match="cannot be decoded"):
        measure_scenes(load(aligned_checkpoint_path), material, KINDS[0])


def test_pictures_are_read_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "people" / "Ada").mkdir(parents=True)
    for number in (1, 2):
        (tmp_path / "people" / "Ada" / f"Ada_000{number}.png").write_bytes(encode(frame(number)))
    source = DataSource(
        folder=tmp_path, cache=tmp_path, images="people", train_pairs="", train_people="", test_pairs=""
    )
    found = source.files([("Ada", "Ada_0002"), ("Ada", "Ada_0009")])
    assert found == {("Ada", "Ada_0002"): encode(frame(2))}


def test_template_is_the_mean_of_central_faces() -> None:
    """Of each picture the face nearest its centre, though another is larger; symmetric, though the heads are lit."""
    beside = Placed(person=30, at=(45, 50), inter_eye_px=46)
    pictures = [encode(frame(person, beside, inter_eye_px=36 + person)) for person in PERSONS]
    template = measure_template([decode(data, ALIGNED) for data in pictures], FaceFinder())
    expected = (DRAWN * np.mean([36 + person for person in PERSONS]) + (125, 118)) / SIDE
    assert np.abs(np.array(template) - expected).max() < 0.03
    (right_eye, left_eye, nose, *_) = template
    assert right_eye[0] + left_eye[0] == pytest.approx(1)
    assert nose[0] == pytest.approx(0.5)
