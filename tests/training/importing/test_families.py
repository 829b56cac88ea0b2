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
    with pytest.raises(DataError, match=r"a zoom of 3 shows 1\.65 of the frame's side; at most 1 is possible"):
        replace(FAMILIES["arcface"], zoom=3.0).preprocessing(COLOUR)


def test_a_declaration_becomes_a_configuration() -> None:
    trial = Trial(
        input=COLOUR, normalises=False, side_px=112, output="fc1", dimension=128, batch="one", runtime="onnxruntime",
        activation_bytes=1,
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
