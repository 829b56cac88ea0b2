"""A face gets the same landmarks, and the network sees the same, wherever, however large and however tilted it is."""

import numpy as np
import pytest
from PIL.Image import Resampling

from model.arrays import Pixels, Points
from model.imaging.crops import REFINE_PX, align, find_faces, refine_landmarks
from model.imaging.decoding import decode
from model.imaging.detection import Face, FaceFinder
from model.imaging.preprocessing import PreprocessingConfig
from tests.drawing import encode
from tests.faces import Placed, beheld, scene
from tests.model.support.pictures import difference, prepare
from training.learning.experiments import ALIGNED, LFW_ALIGNMENT

# How far a landmark may be from where it was drawn, and from where it is when the same face stands elsewhere, in
# distances between the eyes; and how much the straightened pictures may differ, in levels of 255.
BOUND = 0.15
APART = 0.1
LEVELS = 8.0
ELSEWHERE = {
    "shifted": beheld(0, 433, 171),
    "larger": beheld(0, 330, 230, inter_eye_px=84),
    "smaller": beheld(0, inter_eye_px=36),
    "tilted right": beheld(0, tilt_deg=20),
    "tilted left": beheld(0, tilt_deg=-20),
    "all of it": beheld(0, 200, 260, inter_eye_px=75, tilt_deg=-20),
}


TEMPLATE = LFW_ALIGNMENT.points(REFINE_PX)
INTER_EYE_PX = float(np.hypot(*(TEMPLATE[1] - TEMPLATE[0])))


class Told(FaceFinder):
    """Finds in one frame after the other what it is told: how far each face is to the right of the template, in px."""

    def __init__(self, *frames: list[float]) -> None:
        self._frames = iter(frames)

    def find(self, grey: Pixels, *, include_small: bool = False) -> list[Face]:  # noqa: ARG002 (the detector's signature)
        return [Face(box=(0, 0, 1, 1), landmarks=TEMPLATE + np.array([off, 0]), score=1) for off in next(self._frames)]


def moved_px(*looks: list[float]) -> float:
    """How far landmarks settle from where they began if the detector finds that, and nothing in mirrored frames."""
    face = Face(box=(0, 0, 1, 1), landmarks=TEMPLATE + 100, score=1)
    finder = Told(*(frame for look in looks for frame in (look, [])))
    moved = refine_landmarks(decode(encode(scene()), ALIGNED), face, LFW_ALIGNMENT, finder) - face.landmarks
    assert np.abs(moved - moved[0, 0] * np.array([1, 0])).max() < 1e-6
    return float(moved[0, 0])


def upright(points: Points, placed: Placed) -> Points:
    """Points of a scene in distances between the eyes, from the point between them, as if the head stood upright."""
    angle = np.radians(placed.tilt_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    found: Points = (points - placed.at) @ turn / placed.inter_eye_px
    return found


def settled(placed: Placed, finder: FaceFinder) -> Points:
    photograph = decode(encode(scene(placed)), ALIGNED)
    [face] = find_faces(photograph, finder)
    return upright(refine_landmarks(photograph, face, LFW_ALIGNMENT, finder), placed)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_landmarks_settle_where_they_were_drawn(finder: FaceFinder, name: str) -> None:
    placed = ELSEWHERE[name]
    drawn = upright(placed.landmarks, placed)
    assert np.abs(settled(placed, finder) - drawn).max() < BOUND


@pytest.mark.parametrize("name", ELSEWHERE)
def test_landmarks_settle_at_the_same_place_of_the_face(finder: FaceFinder, name: str) -> None:
    assert np.abs(settled(ELSEWHERE[name], finder) - settled(beheld(0), finder)).max() < APART


@pytest.mark.parametrize("name", ELSEWHERE)
def test_the_network_sees_the_same(finder: FaceFinder, name: str) -> None:
    first = prepare(encode(scene(beheld(0))), ALIGNED, finder=finder)
    assert difference(prepare(encode(scene(ELSEWHERE[name])), ALIGNED, finder=finder), first) < LEVELS


def test_two_people_differ_more_than_that(finder: FaceFinder) -> None:
    one, other = (prepare(encode(scene(beheld(person))), ALIGNED, finder=finder) for person in (0, 4))
    assert difference(one, other) > 2 * LEVELS


def test_what_is_said_of_a_crop_is_in_pixels_of_the_file(finder: FaceFinder) -> None:
    large = scene(beheld(0)).resize((3200, 2400), Resampling.BICUBIC)
    photograph = decode(encode(large, "JPEG", quality=92), PreprocessingConfig(alignment=LFW_ALIGNMENT))
    assert photograph.grey.width < 3200
    crop = align(photograph, find_faces(photograph, finder)[0], ALIGNED, finder)
    placed = beheld(0, 1600, 1100, 300)
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
def test_each_look_but_the_last_goes_further_than_the_detector_says(looks: list[list[float]], expected: float) -> None:
    assert moved_px(*looks) == pytest.approx(expected)


@pytest.mark.parametrize("side", [-1, 1])
def test_a_face_that_is_further_off_than_its_eyes_are_apart_is_another(side: int) -> None:
    assert moved_px([side * 0.99 * INTER_EYE_PX], [0.0]) == pytest.approx(side * 1.6 * 0.99 * INTER_EYE_PX)
    assert moved_px([side * 1.01 * INTER_EYE_PX]) == 0


def test_of_several_faces_in_a_frame_the_nearest_is_looked_at() -> None:
    assert moved_px([9.0, -3.0, 6.0], [0.0]) == pytest.approx(1.6 * -3)
