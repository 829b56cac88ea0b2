"""What families declare, and where their points stand in a crop."""

from dataclasses import replace

import numpy as np
import pytest

from model.errors import DataError
from model.imaging.detection import FaceFinder
from model.onnx.trial import GraphInput, Trial
from training.importing.families import (
    ARCFACE_POINTS,
    FAMILIES,
    VALUES,
    describe_values,
    points_of,
    values_of,
)
from training.learning.experiments import LFW_ALIGNMENT

COLOUR = GraphInput(name="x", layout="nchw", channels=3, side_px=None, batch="any")
each_family = pytest.mark.parametrize("name", FAMILIES)


@each_family
def test_points_stand_where_the_family_has_them(name: str) -> None:
    declared = FAMILIES[name]
    config = declared.preprocessing(COLOUR)
    assert config.alignment
    found = config.alignment.points(declared.side_px, config.crop)
    assert np.abs(found - np.array(declared.template) * declared.side_px).max() < 0.01


@each_family
def test_landmarks_are_refined_in_a_frame_like_that_of_our_own_networks(name: str, finder: FaceFinder) -> None:
    alignment = FAMILIES[name].preprocessing(COLOUR).alignment
    assert alignment
    assert alignment.detector_sha256 == finder.sha256
    ours, theirs = (np.array(each.template) for each in (LFW_ALIGNMENT, alignment))
    assert np.hypot(*(theirs[1] - theirs[0])) == pytest.approx(np.hypot(*(ours[1] - ours[0])), rel=1e-3)
    assert np.abs(theirs.mean(0) - ours.mean(0)).max() < 0.1


def test_arcface_has_its_published_points() -> None:
    config = FAMILIES["arcface"].preprocessing(COLOUR)
    assert config.alignment
    assert np.abs(config.alignment.points(112, config.crop) - ARCFACE_POINTS).max() < 0.01


def test_zoom_shows_more_around_the_same_face() -> None:
    declared = FAMILIES["arcface"]
    near, far = (replace(declared, zoom=zoom).preprocessing(COLOUR) for zoom in (1.0, 1.15))
    assert near.alignment == far.alignment
    assert near.alignment
    assert far.alignment
    eyes = [np.hypot(*np.diff(each.alignment.points(112, each.crop)[:2], axis=0)[0]) for each in (near, far)]  # type: ignore[union-attr]
    assert eyes[0] / eyes[1] == pytest.approx(1.15, rel=1e-5)


def test_crops_beyond_the_frame_are_refused() -> None:
    with pytest.raises(DataError, match=r"a zoom of 3 shows 1\.65 of the frame's side; .* which is a --zoom of 1\.82"):
        replace(FAMILIES["arcface"], zoom=3.0).preprocessing(COLOUR)
    for zoom in (0.0, 1e-9, -1.0, float("nan")):
        with pytest.raises(DataError, match=f"--zoom is above 0, about 1, and not {zoom:g}"):
            replace(FAMILIES["arcface"], zoom=zoom).preprocessing(COLOUR)


def test_a_template_with_a_small_face_is_named_instead_of_the_zoom() -> None:
    small = replace(FAMILIES["arcface"], template=points_of(np.ravel(ARCFACE_POINTS).tolist(), 300))
    with pytest.raises(DataError, match=r"the template's eyes are 13\.2 pixels apart in a crop of 112; at least 19\.4"):
        small.preprocessing(COLOUR)
    assert replace(small, zoom=0.6).preprocessing(COLOUR).crop < 1


def test_a_declaration_becomes_a_configuration() -> None:
    trial = Trial(
        input=COLOUR, normalises=False, side_px=112, output="fc1", dimension=128, batch="one", runtime="onnxruntime",
    )  # fmt: skip
    config = FAMILIES["adaface"].network(trial, 1000)
    assert (config.channel_order, config.unit_length, config.batch) == ("bgr", False, "one")
    assert config.input_shape == FAMILIES["adaface"].preprocessing(COLOUR).input_shape == (3, 112)


@pytest.mark.parametrize("name", VALUES)
def test_values_have_names(name: str) -> None:
    assert values_of(name) == VALUES[name]
    assert describe_values(VALUES[name]) == name


def test_values_are_given_in_grey_levels() -> None:
    found = values_of("104/57.5")
    assert found == pytest.approx((104 / 255, 57.5 / 255))
    assert describe_values(found) == "104/57.5"


@pytest.mark.parametrize("text", ["", "104", "104/0", "a/b", "1/2/3"])
def test_unknown_values_are_refused(text: str) -> None:
    with pytest.raises(DataError, match="unknown values"):
        values_of(text)


def test_templates_need_five_points() -> None:
    assert points_of([10, 20, 30, 20, 20, 30, 12, 40, 28, 40], 100)[0] == (0.1, 0.2)
    with pytest.raises(DataError, match="ten numbers"):
        points_of([10, 20, 30, 20], 100)


@each_family
def test_templates_of_families_are_those_of_upright_faces(name: str) -> None:
    template, side_px = FAMILIES[name].template, FAMILIES[name].side_px
    assert np.allclose(points_of((np.array(template) * side_px).ravel().tolist(), side_px), template)


EYES, BELOW = [38, 52, 74, 52], [56, 72, 42, 92, 71, 92]
WRONG_TEMPLATES = {
    "eyes in one place": ([38, 52, 38, 52, *BELOW], "not the points of an upright face; give x and y of the eyes from"),
    "right eye first": ([74, 52, 38, 52, *BELOW], "not the points of an upright face"),
    "right corner of the mouth first": ([*EYES, 56, 72, 71, 92, 42, 92], "not the points of an upright face"),
    "y before x": ([52, 38, 52, 74, 72, 56, 92, 42, 92, 71], "not the points of an upright face"),
    "upside down": ([38, 60, 74, 60, 56, 40, 42, 20, 71, 20], "not the points of an upright face"),
    "all at one height": ([38, 52, 74, 52, 56, 52, 42, 52, 71, 52], "not the points of an upright face"),
    "only zeros": ([0] * 10, "not the points of an upright face"),
    "of a larger crop": ([*EYES, 56, 72, 42, 113, 71, 113], "outside the crop; give x and y in pixels from 0 to 112"),
    "negative": ([-1, *EYES[1:], *BELOW], "outside the crop"),
    "no number": ([float("nan"), *EYES[1:], *BELOW], "outside the crop"),
    "shares": ([each / 112 for each in EYES + BELOW], "shares of the crop's side; multiply them by 112 to give pixels"),
}


@pytest.mark.parametrize(("numbers", "message"), WRONG_TEMPLATES.values(), ids=WRONG_TEMPLATES)
def test_unusable_templates_are_refused_with_what_is_wrong(numbers: list[float], message: str) -> None:
    with pytest.raises(DataError, match=f"^--template: .*{message}"):
        points_of(numbers, 112)
