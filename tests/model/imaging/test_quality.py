"""The measures of a face and their warnings."""

import dataclasses

import numpy as np
import pytest
from PIL import ImageFilter

from model.arrays import Pixels, Points
from model.imaging.crops import measure_face, sharpness
from model.imaging.detection import MIRRORED
from model.imaging.quality import (
    MAX_ROLL_DEG,
    MIN_RESOLUTION_SHARE,
    NOSE_DEPTH,
    Quality,
    QualityRanges,
    Range,
    warnings_of,
)
from tests.faces import DRAWN, drawn_face

FLAT: Pixels = np.full((105, 105), 128, np.uint8)
RANGES = QualityRanges(
    sharpness=Range(low=50, high=900), brightness=Range(low=60, high=190), yaw_deg=Range(low=-40, high=35)
)
GOOD = Quality(inter_eye_px=30, sharpness=300, brightness=120, roll_deg=0, yaw_deg=0)
WANTED_PX = 30.0


def turned(yaw_deg: float) -> Points:
    """The drawn landmarks after a turn of the head; the nose is in front of the others."""
    yaw = np.radians(yaw_deg)
    depth = np.array([0, 0, NOSE_DEPTH, 0, 0])
    return np.column_stack([DRAWN[:, 0] * np.cos(yaw) + depth * np.sin(yaw), DRAWN[:, 1]]) * 50


def tilted(points: Points, degrees: float) -> Points:
    angle = np.radians(degrees)
    rotated: Points = points @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]).T
    return rotated


def picture(blur: float = 0.0) -> Pixels:
    grey = drawn_face(0).convert("L").resize((105, 105))
    return np.asarray(grey.filter(ImageFilter.GaussianBlur(blur)))


@pytest.mark.parametrize("yaw", [-60, -30, -10, 0, 10, 30, 60])
def test_yaw_is_the_angle_of_the_head(yaw: float) -> None:
    assert measure_face(turned(yaw), FLAT).yaw_deg == pytest.approx(yaw, abs=0.01)


@pytest.mark.parametrize("tilt", [-30, 10, 45])
@pytest.mark.parametrize("yaw", [-40, 0, 20])
def test_yaw_and_roll_are_independent(yaw: float, tilt: float) -> None:
    quality = measure_face(tilted(turned(yaw), tilt), FLAT)
    assert quality.yaw_deg == pytest.approx(yaw, abs=0.01)
    assert quality.roll_deg == pytest.approx(tilt, abs=0.01)


def test_mirrored_face_has_the_opposite_yaw() -> None:
    mirrored = turned(25)[MIRRORED] * [-1, 1]
    assert measure_face(mirrored, FLAT).yaw_deg == pytest.approx(-25, abs=0.01)


def test_upside_down_face_has_a_roll_of_180_degrees() -> None:
    assert abs(measure_face(tilted(turned(0), 180), FLAT).roll_deg) == pytest.approx(180)


def test_inter_eye_distance_is_in_pixels_of_the_image() -> None:
    assert measure_face(turned(0) * 4, FLAT).inter_eye_px == pytest.approx(200)
    assert measure_face(tilted(turned(0) * 4, 33), FLAT).inter_eye_px == pytest.approx(200)


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.ones((5, 2)) * [1, 0], DRAWN * [1, 0], DRAWN * [0, 1]])
def test_degenerate_landmarks_give_finite_values(points: Points) -> None:
    assert all(np.isfinite(value) for value in dataclasses.astuple(measure_face(points, FLAT)))


def test_sharpness_equals_a_slow_loop() -> None:
    """Beyond its edges the crop is reflected, without repeating the outermost pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 12), np.uint8)
    wider = np.pad(pixels.astype(float), 1, mode="reflect")
    slow = [
        wider[y - 1, x] + wider[y + 1, x] + wider[y, x - 1] + wider[y, x + 1] - 4 * wider[y, x]
        for y in range(1, 10)
        for x in range(1, 13)
    ]
    assert sharpness(pixels) == pytest.approx(float(np.var(slow)))


def test_sharpness_falls_with_blur() -> None:
    values = [measure_face(turned(0), picture(blur)).sharpness for blur in (0, 0.5, 1, 2, 4)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < values[0] / 10


def test_uniform_crop_has_sharpness_0() -> None:
    assert measure_face(turned(0), FLAT).sharpness == 0


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_brightness_is_the_mean_level(shade: int) -> None:
    assert measure_face(turned(0), np.full_like(FLAT, shade)).brightness == shade


def test_ranges_hold_the_middle_98_percent() -> None:
    qualities = [dataclasses.replace(GOOD, sharpness=n, brightness=2 * n, yaw_deg=n - 50) for n in range(101)]
    ranges = QualityRanges.of(qualities)
    assert (ranges.sharpness, ranges.brightness) == (Range(low=1, high=99), Range(low=2, high=198))
    assert ranges.yaw_deg == Range(low=-49, high=49)


def test_range_of_one_face_is_its_value() -> None:
    assert QualityRanges.of([GOOD]).brightness == Range(low=120, high=120)


def test_good_face_has_no_warning() -> None:
    assert warnings_of(GOOD, RANGES, WANTED_PX) == []
    assert warnings_of(GOOD, None, WANTED_PX) == []


# A measure, the last value without a warning, the first with one, and words of the warning.
EDGES = [
    ("inter_eye_px", MIN_RESOLUTION_SHARE * WANTED_PX, MIN_RESOLUTION_SHARE * WANTED_PX - 0.1, "the face is small"),
    ("sharpness", 50.0, 49.9, "blurred"),
    ("brightness", 60.0, 59.9, "darker"),
    ("brightness", 190.0, 190.1, "brighter"),
    ("roll_deg", MAX_ROLL_DEG, MAX_ROLL_DEG + 0.1, "tilted by 30 degrees"),
    ("roll_deg", -MAX_ROLL_DEG, -MAX_ROLL_DEG - 0.1, "tilted by 30 degrees"),
    ("yaw_deg", 35.0, 35.1, "turned by about 35 degrees"),
    ("yaw_deg", -40.0, -40.1, "turned by about 40 degrees"),
]


@pytest.mark.parametrize(("measure_", "still", "beyond", "words"), EDGES, ids=lambda value: str(value))
def test_warning_begins_at_its_limit(measure_: str, still: float, beyond: float, words: str) -> None:
    assert warnings_of(dataclasses.replace(GOOD, **{measure_: still}), RANGES, WANTED_PX) == []
    [warning] = warnings_of(dataclasses.replace(GOOD, **{measure_: beyond}), RANGES, WANTED_PX)
    assert words in warning


@pytest.mark.parametrize(("roll_deg", "turned_deg"), [(-90, 90), (180, 180), (-170, 180), (100, 270), (0, 0)])
def test_turned_photo_is_not_tilted(roll_deg: float, turned_deg: int) -> None:
    assert warnings_of(dataclasses.replace(GOOD, roll_deg=roll_deg), RANGES, WANTED_PX, turned_deg) == []


def test_tilt_is_from_the_turn() -> None:
    [warning] = warnings_of(dataclasses.replace(GOOD, roll_deg=-130), RANGES, WANTED_PX, 90)
    assert "tilted by 40 degrees" in warning


def test_high_resolution_and_sharpness_give_no_warning() -> None:
    assert warnings_of(dataclasses.replace(GOOD, inter_eye_px=3000, sharpness=9000), RANGES, WANTED_PX) == []


def test_every_problem_has_a_warning() -> None:
    bad = Quality(inter_eye_px=12, sharpness=1, brightness=5, roll_deg=80, yaw_deg=-70)
    warnings = warnings_of(bad, RANGES, WANTED_PX)
    assert len(warnings) == 5
    assert all(warning.isprintable() for warning in warnings)


def test_without_ranges_only_size_and_roll_are_checked() -> None:
    bad = Quality(inter_eye_px=12, sharpness=1, brightness=5, roll_deg=80, yaw_deg=-70)
    assert len(warnings_of(bad, None, WANTED_PX)) == 2
