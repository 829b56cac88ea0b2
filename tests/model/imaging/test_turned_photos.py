"""Photos that lie on their side or stand on their head give the crops of upright ones, in pixels of the photo."""

import numpy as np
import pytest
from PIL import Image
from PIL.Image import Resampling, Transpose

from model.arrays import Pixels, Points
from model.imaging.analysis import MSG_LEAVES_IMAGE, MSG_TURNED, AnalysedFace, Choice, ImageAnalysis, analyse
from model.imaging.crops import TURNED_MARGIN, TURNED_SCORE, UPRIGHT_SCORE, find_faces
from model.imaging.decoding import Photo, decode
from model.imaging.detection import Face, FaceFinder
from model.imaging.preprocessing import PreprocessingConfig
from tests.drawing import encode, encode_oriented
from tests.faces import Placed, head_at, scene
from tests.model.support.pictures import difference
from training.learning.experiments import ALIGNED, LFW_ALIGNMENT

SMOOTH = ALIGNED.model_copy(update={"alignment": LFW_ALIGNMENT.model_copy(update={"refinement": "smooth"})})
COLOUR = ALIGNED.model_copy(update={"colour": "rgb"})
# How Pillow turns a picture clockwise.
CLOCKWISE = {90: Transpose.ROTATE_270, 180: Transpose.ROTATE_180, 270: Transpose.ROTATE_90}
OFF = 0.2  # of the distance between the eyes
LEVELS = 6


def turned(points: Points, clockwise_deg: int, size: tuple[int, int]) -> Points:
    """Where points of a picture of that size are after it was turned clockwise."""
    x, y = points.T
    width, height = size
    places = {90: (height - y, x), 180: (width - x, height - y), 270: (y, width - x)}
    return np.column_stack(places[clockwise_deg])


def analysed(
    data: bytes,
    finder: FaceFinder,
    config: PreprocessingConfig = ALIGNED,
    choice: Choice = "largest",
) -> ImageAnalysis:
    return analyse(decode(data, config), choice, config, finder)


def check_place(face: AnalysedFace, landmarks: Points) -> None:
    """The landmarks are near these, and the box is around them."""
    inter_eye_px = float(np.hypot(*(landmarks[1] - landmarks[0])))
    assert np.abs(face.face.landmarks - landmarks).max() < OFF * inter_eye_px
    x, y, width, height = face.face.box
    assert (landmarks > (x, y)).all()
    assert (landmarks < (x + width, y + height)).all()
    assert 1.5 * inter_eye_px < min(width, height) < max(width, height) < 4 * inter_eye_px


@pytest.mark.parametrize("clockwise_deg", CLOCKWISE)
def test_turned_search_is_the_search_of_the_turned_picture(finder: FaceFinder, clockwise_deg: int) -> None:
    """Of a picture of a usual size, of a large one that is reduced, and of a narrow one that is padded."""
    pictures = [
        scene(head_at(1, 130, 200, 50), head_at(2, 320, 260, 40)),
        scene(head_at(0, 600, 500, 90), size=(1201, 997)),
        scene(head_at(0, 25, 150, 16), size=(50, 300)),
    ]
    for upright in pictures:
        expected = finder.find(np.asarray(upright.convert("L")))
        picture = upright.transpose(CLOCKWISE[360 - clockwise_deg])
        found = finder.find(np.asarray(picture.convert("L")), turned_deg=clockwise_deg)
        assert [face.score for face in found] == pytest.approx([face.score for face in expected], abs=0.01)
        assert found
        for face, other in zip(found, expected, strict=True):
            assert face.turned_deg == clockwise_deg
            assert turned(face.landmarks, clockwise_deg, picture.size) == pytest.approx(other.landmarks, abs=1)
            x, y, width, height = face.box
            corners = turned(np.array([[x, y], [x + width, y + height]]), clockwise_deg, picture.size)
            assert (*corners.min(axis=0), *np.ptp(corners, axis=0)) == pytest.approx(other.box, abs=1)


@pytest.mark.parametrize("config", [ALIGNED, SMOOTH, COLOUR], ids=["settled", "smooth", "colour"])
@pytest.mark.parametrize("clockwise_deg", CLOCKWISE)
def test_turned_photo_gives_the_crop_of_the_upright_one(
    finder: FaceFinder, clockwise_deg: int, config: PreprocessingConfig
) -> None:
    head = head_at(0, 200, 180, tilt_deg=12)
    picture = scene(head)
    upright = analysed(encode(picture), finder, config)
    found = analysed(encode(picture.transpose(CLOCKWISE[clockwise_deg])), finder, config)
    assert (found.width_px, found.height_px) == ((640, 480) if clockwise_deg == 180 else (480, 640))
    assert difference(found.pixels, upright.pixels) < LEVELS < difference(found.pixels[::-1], upright.pixels)
    [face] = found.faces
    check_place(face, turned(head.landmarks, clockwise_deg, picture.size))
    assert (face.quality.roll_deg - 12 - clockwise_deg + 180) % 360 - 180 == pytest.approx(0, abs=5)
    assert face.quality.yaw_deg == pytest.approx(upright.faces[0].quality.yaw_deg, abs=3)
    assert found.warnings == [MSG_TURNED[360 - clockwise_deg]]
    assert upright.warnings == []


@pytest.mark.parametrize("orientation", [1, 6, 8])
def test_large_photo_is_turned_after_its_exif_orientation(finder: FaceFinder, orientation: int) -> None:
    """It is decoded at a fraction of its size."""
    head = Placed(person=0, at=(1503, 1201), inter_eye_px=300)
    picture = scene(head_at(0, 501, 400.33, 100), size=(1333, 1001)).resize((4000, 3003), Resampling.BILINEAR)
    lying = picture.transpose(CLOCKWISE[90])
    data = encode(lying, "JPEG") if orientation == 1 else encode_oriented(lying, orientation, "JPEG")
    photo = decode(data, ALIGNED)
    assert photo.reduction > 1
    found = analyse(photo, "largest", ALIGNED, finder)
    assert (found.width_px, found.height_px) == (3003, 4000)
    check_place(found.faces[0], turned(head.landmarks, 90, picture.size))
    assert found.warnings == [MSG_TURNED[270]]


def test_all_faces_are_of_one_orientation(finder: FaceFinder) -> None:
    heads = (head_at(1, 130, 200, 50), head_at(2, 320, 260, 36), head_at(3, 540, 200, 28))
    picture = scene(*heads)
    found = analysed(encode(picture.transpose(CLOCKWISE[90])), finder, choice="any")
    assert found.faces_found == 3
    for face, head in zip(found.faces, heads, strict=True):
        check_place(face, turned(head.landmarks, 90, picture.size))
        assert MSG_TURNED[270] in face.warnings


def test_upright_face_decides_for_one_that_is_not(finder: FaceFinder) -> None:
    picture = scene(head_at(1, 160, 200, 50))
    picture.paste(scene(head_at(2, 160, 200, 50), size=(320, 480)).transpose(CLOCKWISE[180]), (320, 0))
    photo = decode(encode(picture), ALIGNED)
    best = max(find_faces(photo, finder), key=lambda face: face.score)
    assert best.turned_deg == 0
    assert best.landmarks.mean(axis=0)[0] < 320


def test_tilt_of_a_turned_photo_is_from_its_turn(finder: FaceFinder) -> None:
    lying = scene(head_at(0, tilt_deg=36)).transpose(CLOCKWISE[90])
    warnings = analysed(encode(lying), finder).warnings
    assert warnings[0] == MSG_TURNED[270]
    assert warnings[1].startswith("the head is tilted by 3")


def test_turned_face_leaves_the_image_at_its_edge(finder: FaceFinder) -> None:
    lying = scene(head_at(0, y=420)).transpose(CLOCKWISE[270])
    assert analysed(encode(lying), finder).warnings == [MSG_TURNED[90], MSG_LEAVES_IMAGE]


class ScoredFinder(FaceFinder):
    """Finds one face of the given score in each orientation, none where the score is 0, and lists its searches."""

    def __init__(self, *scores: float) -> None:
        super().__init__()
        self.scores = dict(zip((0, 90, 180, 270), scores, strict=True))
        self.searches: list[tuple[int, bool]] = []

    def find(self, grey: Pixels, *, include_small: bool = False, turned_deg: int = 0) -> list[Face]:
        assert grey.shape == (100, 200)
        self.searches.append((turned_deg, include_small))
        score = self.scores[turned_deg]
        face = Face(box=(0, 0, 9, 9), landmarks=np.zeros((5, 2)), score=score, turned_deg=turned_deg)
        return [face] if score else []


@pytest.fixture
def photo() -> Photo:
    return decode(encode(Image.new("L", (200, 100), 90)), ALIGNED)


@pytest.mark.parametrize("include_small", [False, True])
def test_only_photos_without_a_good_face_are_searched_again(photo: Photo, include_small: bool) -> None:
    for score, searches in ((UPRIGHT_SCORE, 1), (UPRIGHT_SCORE - 0.001, 4), (0.0, 4)):
        finder = ScoredFinder(score, 0, 0, 0)
        find_faces(photo, finder, include_small=include_small)
        assert finder.searches == [(deg, include_small) for deg in (0, 90, 180, 270)][:searches]


HIGH = TURNED_SCORE + 0.05
# The scores of the four orientations, and the turn that is taken, None if no face is found.
CHOICES = [
    ((0.0, 0.0, 0.0, 0.0), None),
    ((0.0, 0.65, 0.62, 0.7), 270),
    ((0.0, 0.0, 0.61, 0.0), 180),
    ((HIGH, HIGH + TURNED_MARGIN - 0.001, 0.0, 0.0), 0),
    ((HIGH, HIGH + TURNED_MARGIN + 0.001, 0.0, 0.0), 90),
    ((0.65, 0.0, TURNED_SCORE - 0.001, 0.0), 0),
    ((0.65, 0.0, TURNED_SCORE + 0.001, 0.7), 180),
    ((UPRIGHT_SCORE, 0.95, 0.95, 0.95), 0),
]


@pytest.mark.parametrize(("scores", "taken"), CHOICES)
def test_best_orientation_is_taken(photo: Photo, scores: tuple[float, ...], taken: int | None) -> None:
    faces = find_faces(photo, ScoredFinder(*scores))
    assert [face.turned_deg for face in faces] == ([] if taken is None else [taken])
