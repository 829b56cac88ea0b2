"""Changes of photographs: deterministic, as large as the face, and doing what their names say."""

import numpy as np
import pytest
from PIL import Image

from model.arrays import Pixels, Points
from model.imaging.detection import FaceFinder
from tests.faces import head_at, scene
from training.data.change import Change, face_coordinates, generator_for
from training.data.changes import CHANGES, NONE
from training.data.drawn_heads import DRAWN_HEADS
from training.data.unfitted_changes import UNFITTED_CHANGES

HEAD = head_at(3, 130, 120, 44)
PIXELS: Pixels = np.asarray(scene(HEAD, size=(260, 260)))
ALL = (*CHANGES, *DRAWN_HEADS, *UNFITTED_CHANGES)
NAMED = {change.name: change for change in CHANGES}


def changed(change: Change, pixels: Pixels = PIXELS, landmarks: Points = HEAD.landmarks) -> Pixels:
    return change(pixels, landmarks, change.usual, generator_for(0, change.name))


def face_of(pixels: Pixels) -> Pixels:
    """The part between the brows and the chin."""
    return pixels[105:170, 95:165]


@pytest.mark.parametrize("change", ALL, ids=lambda change: change.name)
def test_change_is_of_uint8_repeatable_and_leaves_the_picture_alone(change: Change) -> None:
    before = PIXELS.copy()
    first, second = changed(change), changed(change)
    assert (first == second).all()
    assert first.dtype == np.uint8
    assert first.ndim == 3
    assert (before == PIXELS).all()
    assert first.shape != PIXELS.shape or (first != PIXELS).any()


@pytest.mark.parametrize("change", ALL, ids=lambda change: change.name)
def test_drawn_parameters_stay_in_their_ranges_and_differ_between_pictures(change: Change) -> None:
    drawn = [change.draw(generator_for(0, change.name, picture)) for picture in ("one", "two")]
    for name, span in change.spans.items():
        assert span.low <= span.usual <= span.high
        assert all(span.low <= values[name] <= span.high for values in drawn)
        assert drawn[0][name] != drawn[1][name]


def test_no_change_changes_nothing() -> None:
    assert (changed(NONE) == PIXELS).all()


@pytest.mark.parametrize("name", ["out of focus", "motion blur", "few pixels"])
def test_blur_lowers_differences_and_keeps_the_mean(name: str) -> None:
    found = changed(NAMED[name]).astype(float)
    assert np.abs(np.diff(found, axis=1)).mean() < 0.8 * np.abs(np.diff(PIXELS.astype(float), axis=1)).mean()
    assert found.mean() == pytest.approx(PIXELS.mean(), abs=2)


def test_blur_grows_with_the_face() -> None:
    """A picture of twice the size, changed and then halved, is as the changed picture."""
    large = head_at(3, 260, 240, 88)
    twice = changed(NAMED["out of focus"], np.asarray(scene(large, size=(520, 520))), large.landmarks)
    halved = twice.reshape(260, 2, 260, 2, 3).mean(axis=(1, 3))
    assert np.abs(halved - changed(NAMED["out of focus"])).mean() < 1.5


def test_noise_has_its_deviation() -> None:
    away = changed(NAMED["noise"])[:60, :60].astype(float) - PIXELS[:60, :60]
    assert away.std() == pytest.approx(NAMED["noise"].usual["deviation"], rel=0.1)
    assert abs(away.mean()) < 2


@pytest.mark.parametrize(("name", "lowest", "highest"), [("overexposed", 1.4, 3.0), ("dark", 0.1, 0.5)])
def test_exposure_moves_brightness(name: str, lowest: float, highest: float) -> None:
    assert lowest < face_of(changed(NAMED[name])).mean() / face_of(PIXELS).mean() < highest


def test_grey_has_three_equal_channels_and_low_contrast_little_deviation() -> None:
    assert np.ptp(changed(NAMED["grey"]), axis=2).max() == 0
    assert changed(NAMED["low contrast"]).std() == pytest.approx(0.3 * PIXELS.std(), rel=0.1)


def test_light_comes_from_the_named_side() -> None:
    change = NAMED["one-sided light"]
    for side in (-1, 1):
        lit = change(PIXELS, HEAD.landmarks, change.usual | {"side": side}, generator_for(0))
        left, right = face_of(lit)[:, :35].mean(), face_of(lit)[:, 35:].mean()
        assert (right > 1.5 * left) == (side > 0)
        assert (left > 1.5 * right) == (side < 0)


def test_backlight_is_bright_behind_a_dark_face() -> None:
    found = changed(NAMED["backlight"])
    assert found[:40].mean() > 200 > 100 > face_of(found).mean()


def test_tight_crop_keeps_the_face_and_is_not_made_too_small() -> None:
    found = changed(NAMED["tight crop"])
    assert found.shape[0] < 0.5 * PIXELS.shape[0]
    rows, columns = np.flatnonzero((found[0, 0] == PIXELS).all(axis=2).any(axis=1)), found.shape[1]
    assert any(
        (PIXELS[row : row + len(found), x : x + columns] == found).all()
        for row in rows
        for x in (86, 87, 88, 89, 90, 91)
    )
    small = head_at(3, 60, 50, 12)
    tiny = np.asarray(scene(small, size=(120, 120)))
    assert changed(NAMED["tight crop"], tiny, small.landmarks).shape == tiny.shape


@pytest.mark.parametrize(("name", "covered", "free"), [("dark glasses", 0.0, 1.0), ("mask", 1.0, 0.0)])
def test_covers_hide_their_part_of_the_face_alone(name: str, covered: float, free: float) -> None:
    _, y = face_coordinates(PIXELS, HEAD.landmarks)
    away = np.abs(changed(NAMED[name]).astype(float) - PIXELS).mean(axis=2)
    x, _ = face_coordinates(PIXELS, HEAD.landmarks)
    middle = np.abs(np.abs(x) - 0.45) < 0.15
    assert away[middle & (np.abs(y - covered) < 0.1)].mean() > 20
    assert away[middle & (np.abs(y - free) < 0.1)].max() == 0


def test_face_coordinates_place_eyes_and_mouth() -> None:
    tilted = head_at(3, 130, 120, 44, tilt_deg=25)
    x, y = face_coordinates(PIXELS, tilted.landmarks)
    for (column, row), wanted in zip(
        tilted.landmarks, [(-0.5, 0), (0.5, 0), (0, None), (-0.42, 1), (0.42, 1)], strict=True
    ):
        at = round(row - 0.5), round(column - 0.5)
        assert x[at] == pytest.approx(wanted[0], abs=0.03)
        assert wanted[1] is None or y[at] == pytest.approx(wanted[1], abs=0.03)


def test_mouth_beside_the_eyes_gives_finite_coordinates() -> None:
    landmarks = HEAD.landmarks.copy()
    landmarks[3:] = landmarks[:2] + np.array([0, 1])
    x, y = face_coordinates(PIXELS, landmarks)
    assert np.isfinite(x).all()
    assert np.abs(y).max() < 10


@pytest.mark.parametrize("change", DRAWN_HEADS, ids=lambda change: change.name)
def test_drawn_heads_have_faces_where_the_photograph_had_one(change: Change) -> None:
    finder = FaceFinder()
    apart = []
    for number in range(12):
        draws = generator_for(0, change.name, str(number))
        drawn = change(PIXELS, HEAD.landmarks, change.draw(draws), draws)
        faces = finder.find(np.asarray(Image.fromarray(drawn).convert("L")))
        apart += [float(np.abs(faces[0].landmarks - HEAD.landmarks)[:2].max())] if faces else []
    assert len(apart) >= 8
    assert np.median(apart) < 0.25 * HEAD.inter_eye_px


def test_drawn_heads_differ_in_their_features() -> None:
    one, other = (
        DRAWN_HEADS[0](PIXELS, HEAD.landmarks, DRAWN_HEADS[0].usual, generator_for(0, name)) for name in ("a", "b")
    )
    assert np.abs(one.astype(float) - other).mean() > 10
