"""A face gets the same landmarks and the same crop at every position, size and tilt."""

import numpy as np
import pytest
from PIL.Image import Resampling

from model.arrays import Points
from model.imaging.crops import align, find_faces
from model.imaging.decoding import decode
from model.imaging.detection import Face, FaceFinder
from model.imaging.preprocessing import PreprocessingConfig
from model.imaging.refinement import REFINE_PX, refine_landmarks
from tests.drawing import encode
from tests.faces import Placed, head_at, scene
from tests.model.support.pictures import difference, prepare
from training.learning.experiments import ALIGNED, LEARNED_ALIGNMENT, LFW_ALIGNMENT, SMOOTH_ALIGNMENT

# The largest error of a landmark, and its largest change between placements, in distances between the eyes; and the
# largest mean difference of the crops, in grey levels.
BOUND = 0.15
APART = 0.1
LEVELS = 8.0
ELSEWHERE = {
    "shifted": head_at(0, 433, 171),
    "larger": head_at(0, 330, 230, inter_eye_px=84),
    "smaller": head_at(0, inter_eye_px=36),
    "tilted right": head_at(0, tilt_deg=20),
    "tilted left": head_at(0, tilt_deg=-20),
    "all of it": head_at(0, 200, 260, inter_eye_px=75, tilt_deg=-20),
}


REFINEMENTS: dict[str, PreprocessingConfig] = {
    alignment.refinement: ALIGNED.model_copy(update={"alignment": alignment})
    for alignment in (LFW_ALIGNMENT, SMOOTH_ALIGNMENT, LEARNED_ALIGNMENT)
}
TEMPLATE = LFW_ALIGNMENT.points(REFINE_PX)
INTER_EYE_PX = float(np.hypot(*(TEMPLATE[1] - TEMPLATE[0])))


class ScriptedFinder(FaceFinder):
    """Finds given faces in each frame in turn: for each face, its pixels to the right of the template."""

    def __init__(self, *frames: list[float]) -> None:
        self._frames = iter(frames)

    def find(self, *_: object, **__: object) -> list[Face]:
        return [Face(box=(0, 0, 1, 1), landmarks=TEMPLATE + np.array([off, 0]), score=1) for off in next(self._frames)]


def moved_px(*looks: list[float]) -> float:
    """How far the landmarks move if the detector finds these faces, and none in mirrored frames."""
    face = Face(box=(0, 0, 1, 1), landmarks=TEMPLATE + 100, score=1)
    finder = ScriptedFinder(*(frame for look in looks for frame in (look, [])))
    moved = refine_landmarks(decode(encode(scene()), ALIGNED), face, LFW_ALIGNMENT, finder) - face.landmarks
    assert np.abs(moved - moved[0, 0] * np.array([1, 0])).max() < 1e-6
    return float(moved[0, 0])


def upright(points: Points, placed: Placed) -> Points:
    """Points of a scene in distances between the eyes, from the point between them, with the head's tilt undone."""
    angle = np.radians(placed.tilt_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    found: Points = (points - placed.at) @ turn / placed.inter_eye_px
    return found


def refined(placed: Placed, finder: FaceFinder, kind: str) -> Points:
    photograph = decode(encode(scene(placed)), ALIGNED)
    [face] = find_faces(photograph, finder)
    alignment = REFINEMENTS[kind].alignment
    assert alignment
    return upright(refine_landmarks(photograph, face, alignment, finder), placed)


@pytest.mark.parametrize("kind", REFINEMENTS)
@pytest.mark.parametrize("name", ELSEWHERE)
def test_refined_landmarks_are_where_they_were_drawn(finder: FaceFinder, name: str, kind: str) -> None:
    placed = ELSEWHERE[name]
    drawn = upright(placed.landmarks, placed)
    assert np.abs(refined(placed, finder, kind) - drawn).max() < BOUND


@pytest.mark.parametrize("kind", REFINEMENTS)
@pytest.mark.parametrize("name", ELSEWHERE)
def test_refined_landmarks_do_not_depend_on_the_placement(finder: FaceFinder, name: str, kind: str) -> None:
    assert np.abs(refined(ELSEWHERE[name], finder, kind) - refined(head_at(0), finder, kind)).max() < APART


@pytest.mark.parametrize("kind", REFINEMENTS)
@pytest.mark.parametrize("name", ELSEWHERE)
def test_crop_does_not_depend_on_the_placement(finder: FaceFinder, name: str, kind: str) -> None:
    config = REFINEMENTS[kind]
    first = prepare(encode(scene(head_at(0))), config, finder=finder)
    assert difference(prepare(encode(scene(ELSEWHERE[name])), config, finder=finder), first) < LEVELS


def test_two_people_differ_more_than_placements(finder: FaceFinder) -> None:
    one, other = (prepare(encode(scene(head_at(person))), ALIGNED, finder=finder) for person in (0, 4))
    assert difference(one, other) > 2 * LEVELS


def test_crop_reports_pixels_of_the_image(finder: FaceFinder) -> None:
    large = scene(head_at(0)).resize((3200, 2400), Resampling.BICUBIC)
    photograph = decode(encode(large, "JPEG", quality=92), PreprocessingConfig(alignment=LFW_ALIGNMENT))
    assert photograph.grey.width < 3200
    crop = align(photograph, find_faces(photograph, finder)[0], ALIGNED, finder)
    placed = head_at(0, 1600, 1100, 300)
    assert np.abs(upright(crop.face.landmarks, placed) - upright(placed.landmarks, placed)).max() < BOUND
    assert crop.quality.inter_eye_px == pytest.approx(300, rel=0.1)
    x, y, width, height = crop.face.box
    assert x < 1450 < 1750 < x + width < 3200
    assert y < 1100 < 1400 < y + height < 2400


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ([[5.0], [0.0]], 1.6 * 5),
        ([[5.0], [-2.0], [0.0]], 1.6 * 3),
        ([[5.0], []], 1.6 * 5),
        ([[5.0]] * 4, (3 * 1.6 + 1) * 5),
        ([[0.04 * INTER_EYE_PX]], 0.04 * INTER_EYE_PX),
    ],
)
def test_each_refinement_but_the_last_over_relaxes(looks: list[list[float]], expected: float) -> None:
    assert moved_px(*looks) == pytest.approx(expected)


@pytest.mark.parametrize("side", [-1, 1])
def test_face_further_away_than_the_eyes_are_apart_is_ignored(side: int) -> None:
    assert moved_px([side * 0.99 * INTER_EYE_PX], [0.0]) == pytest.approx(side * 1.6 * 0.99 * INTER_EYE_PX)
    assert moved_px([side * 1.01 * INTER_EYE_PX]) == 0


def test_nearest_face_in_the_frame_is_used() -> None:
    assert moved_px([9.0, -3.0, 6.0], [0.0]) == pytest.approx(1.6 * -3)
