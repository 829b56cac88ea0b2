"""The choice of a face, its alignment, and crops of whole photos."""

import dataclasses

import numpy as np
import pytest
from PIL import Image
from PIL.Image import Resampling

from model.errors import DetectorError, FaceTooSmall, NoFace, SeveralFaces
from model.imaging.crops import (
    UPRIGHT_SCORE,
    FaceChoice,
    align,
    choose,
    find_faces,
    find_largest,
    require_detector,
    require_size,
    resize,
)
from model.imaging.decoding import Photo, decode
from model.imaging.detection import FaceFinder
from model.imaging.preprocessing import Alignment, PreprocessingConfig
from model.imaging.quality import MIN_INTER_EYE_PX, Quality
from tests.drawing import encode, portrait
from tests.faces import head_at, scene, too_small
from tests.model.support.pictures import prepare
from training.learning.experiments import ALIGNED, LEARNED_ALIGNMENT, LFW_ALIGNMENT

WHOLE = PreprocessingConfig()


def photograph_of(picture: Image.Image) -> Photo:
    return decode(encode(picture), ALIGNED)


@pytest.fixture(scope="module")
def crowd() -> Photo:
    """The largest face is on the left, the second in the middle, the smallest on the right."""
    return photograph_of(scene(head_at(1, 130, 200, 50), head_at(2, 320, 260, 40), head_at(3, 540, 200, 30)))


@pytest.mark.parametrize(("choice", "x"), [("largest", 130), ("center", 320)])
def test_choice_selects_one_of_several_faces(crowd: Photo, finder: FaceFinder, choice: FaceChoice, x: float) -> None:
    faces = find_faces(crowd, finder)
    assert len(faces) == 3
    assert faces[choose(faces, choice, crowd)].landmarks.mean(axis=0)[0] == pytest.approx(x, abs=10)


def test_largest_face_is_found_by_a_glance_or_a_search(crowd: Photo, finder: FaceFinder) -> None:
    assert [face.box for face in find_largest(crowd, finder)] == [face.box for face in find_faces(crowd, finder)]
    near = photograph_of(scene(head_at(0, inter_eye_px=110)))
    glanced = finder.glance(np.asarray(near.grey), UPRIGHT_SCORE)
    assert glanced
    assert [face.box for face in find_largest(near, finder)] == [face.box for face in glanced]


def test_crop_hardly_depends_on_how_its_face_was_found(finder: FaceFinder) -> None:
    photo = photograph_of(scene(head_at(0, inter_eye_px=110)))
    config = ALIGNED.model_copy(update={"alignment": LEARNED_ALIGNMENT})
    [glanced], [found] = find_largest(photo, finder), find_faces(photo, finder)
    crops = [align(photo, face, config, finder) for face in (glanced, found)]
    apart = np.abs(crops[0].face.landmarks - crops[1].face.landmarks).max()
    assert apart < 0.25 * np.abs(glanced.landmarks - found.landmarks).max()
    assert apart < 0.02 * 110


def test_only_refuses_several_faces(crowd: Photo, finder: FaceFinder) -> None:
    faces = find_faces(crowd, finder)
    assert choose(faces[:1], "only", crowd) == 0
    with pytest.raises(SeveralFaces, match="3 faces"):
        choose(faces, "only", crowd)


@pytest.mark.parametrize("choice", ["largest", "center", "only"])
def test_photo_without_a_face_is_refused(crowd: Photo, finder: FaceFinder, choice: FaceChoice) -> None:
    with pytest.raises(NoFace):
        choose([], choice, crowd)
    with pytest.raises(NoFace):
        prepare(encode(Image.new("L", (200, 200), 90)), ALIGNED, finder=finder, choice=choice)


def test_aligned_face_matches_the_template(finder: FaceFinder) -> None:
    photograph = photograph_of(scene(head_at(1, tilt_deg=15)))
    config = ALIGNED.model_copy(update={"side_px": 315})
    crop = align(photograph, find_faces(photograph, finder)[0], config, finder)
    [again] = finder.find(crop.pixels)
    wanted = LFW_ALIGNMENT.points(315, ALIGNED.crop)
    assert np.abs(again.landmarks - wanted).max() < 0.25 * (wanted[1, 0] - wanted[0, 0])


def test_prepare_finds_chooses_and_aligns(crowd: Photo, finder: FaceFinder) -> None:
    faces = find_faces(crowd, finder)
    data = encode(crowd.grey)
    choices: list[FaceChoice] = ["largest", "center"]
    for choice in choices:
        crop = align(crowd, faces[choose(faces, choice, crowd)], ALIGNED, finder)
        assert np.array_equal(prepare(data, ALIGNED, finder=finder, choice=choice), crop.pixels)
    assert np.array_equal(prepare(data, ALIGNED), prepare(data, ALIGNED, finder=finder))


def test_prepare_without_alignment_takes_the_whole_photo() -> None:
    data = encode(portrait(1))
    assert np.array_equal(prepare(data, WHOLE), resize(decode(data, WHOLE), WHOLE))


@pytest.mark.parametrize("crop", [1.0, 0.6])
def test_middle_of_a_whole_photo_is_resized(crop: float) -> None:
    grey = portrait(1, size=(200, 100)).convert("L")
    config = PreprocessingConfig(crop=crop)
    margin = (1 - crop) / 2
    box = (200 * margin, 100 * margin, 200 * (1 - margin), 100 * (1 - margin))
    expected = grey.resize((105, 105), Resampling.BILINEAR, box=box)
    assert np.array_equal(resize(photograph_of(grey), config), np.asarray(expected))


def test_other_detectors_are_refused(finder: FaceFinder) -> None:
    require_detector(ALIGNED, finder)
    require_detector(WHOLE, finder)
    foreign = Alignment(template=LFW_ALIGNMENT.template, detector_sha256="0" * 64)
    with pytest.raises(DetectorError) as caught:
        require_detector(ALIGNED.model_copy(update={"alignment": foreign}), finder)
    message = str(caught.value)
    assert "\n" not in message
    assert finder.sha256[:12] in message
    assert "0" * 12 in message


def test_other_landmark_networks_are_refused(finder: FaceFinder) -> None:
    require_detector(ALIGNED.model_copy(update={"alignment": LEARNED_ALIGNMENT}), finder)
    foreign = LEARNED_ALIGNMENT.model_copy(update={"landmarks_sha256": "0" * 64})
    with pytest.raises(DetectorError, match=f"digest {finder.landmarks.sha256[:12]}, but the .* with 000000000000"):
        require_detector(ALIGNED.model_copy(update={"alignment": foreign}), finder)


def test_small_face_is_refused(finder: FaceFinder) -> None:
    with pytest.raises(FaceTooSmall, match=r"9\.0 pixels between the eyes, 10 are needed"):
        prepare(encode(too_small()), ALIGNED, finder=finder)


def test_smallest_allowed_face_is_accepted() -> None:
    least = Quality(inter_eye_px=MIN_INTER_EYE_PX, sharpness=0, brightness=0, roll_deg=0, yaw_deg=0)
    require_size(least)
    with pytest.raises(FaceTooSmall):
        require_size(dataclasses.replace(least, inter_eye_px=MIN_INTER_EYE_PX - 0.01))
