"""The shipped landmark network: where it finds landmarks, and which files are refused."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from model.arrays import Points
from model.errors import DetectorError
from model.imaging.alignment import SimilarityTransform, fit_similarity
from model.imaging.crops import find_faces
from model.imaging.decoding import decode
from model.imaging.detection import Face, FaceFinder
from model.imaging.landmarks import LandmarkNetwork, shipped_landmarks
from model.imaging.refinement import refine_landmarks
from model.imaging.warping import sample
from tests.drawing import encode
from tests.faces import Placed, head_at, scene
from training.learning.experiments import ALIGNED, LEARNED_ALIGNMENT, LFW_ALIGNMENT


def look(placed: Placed, network: LandmarkNetwork, off: SimilarityTransform) -> tuple[Points, Points]:
    """The landmarks that the network finds in a frame that is `off`, and those drawn, in distances between the eyes."""
    photo = decode(encode(scene(placed)), ALIGNED)
    place = fit_similarity(off(placed.landmarks), network.template)
    [found] = network.locate(sample(photo.grey_pixels, place, network.side_px)[None])
    inter_eye_px = network.template[1, 0] - network.template[0, 0]
    return found / inter_eye_px, place(placed.landmarks) / inter_eye_px


def turned(degrees: float, scale: float, about: tuple[float, float]) -> SimilarityTransform:
    angle, centre = np.radians(degrees), np.array(about)
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return SimilarityTransform(matrix, centre - matrix @ centre)


@pytest.mark.parametrize("degrees", [-25, -12, 12, 25])
@pytest.mark.parametrize("scale", [0.85, 1.15])
def test_finds_landmarks_of_a_face_that_is_not_aligned(degrees: float, scale: float) -> None:
    placed, network = head_at(3), LandmarkNetwork()
    found, drawn = look(placed, network, turned(degrees, scale, placed.at))
    away = np.abs(drawn - network.template / (network.template[1, 0] - network.template[0, 0])).max()
    assert away > 0.2, "the frame shows an aligned face"
    assert np.abs(found - drawn).max() < 0.2


def test_template_is_that_of_the_data_set() -> None:
    network = LandmarkNetwork()
    assert np.abs(network.template - LFW_ALIGNMENT.points(network.side_px, 0.7)).max() < 0.01


def test_small_change_of_the_detectors_landmarks_moves_landmarks_little(finder: FaceFinder) -> None:
    photo = decode(encode(scene(head_at(0, tilt_deg=12))), ALIGNED)
    [face] = find_faces(photo, finder)
    nearby = Face(box=face.box, landmarks=face.landmarks * (1 + 1e-6), score=face.score)
    first, second = (refine_landmarks(photo, each, LEARNED_ALIGNMENT, finder) for each in (face, nearby))
    assert 0 < np.abs(first - second).max() < 1e-3


def test_frames_do_not_depend_on_those_beside_them() -> None:
    network = LandmarkNetwork()
    frames = np.random.default_rng(0).uniform(0, 255, (3, network.side_px, network.side_px)).astype(np.float32)
    alone = np.concatenate([network.locate(frame[None]) for frame in frames])
    assert np.abs(network.locate(frames) - alone).max() < 1e-3


def test_experiment_names_the_shipped_network() -> None:
    assert LandmarkNetwork().sha256 == LEARNED_ALIGNMENT.landmarks_sha256


def test_copied_file_is_the_same_network(tmp_path: Path) -> None:
    copy = tmp_path / "copy.onnx"
    shutil.copy(shipped_landmarks(), copy)
    assert LandmarkNetwork(copy).sha256 == LandmarkNetwork().sha256


def refused(path: Path) -> str:
    with pytest.raises(DetectorError) as caught:
        LandmarkNetwork(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in refused(tmp_path / "missing.onnx")


@pytest.mark.parametrize("kept", [0, 1000, -1])
def test_damaged_file_is_refused(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "damaged.onnx"
    path.write_bytes(shipped_landmarks().read_bytes()[:kept])
    assert "not a landmark network" in refused(path)


def test_network_without_a_template_is_refused(tmp_path: Path) -> None:
    model = onnx.load(shipped_landmarks())
    del model.metadata_props[:]
    path = tmp_path / "other.onnx"
    onnx.save(model, path)
    assert "not a landmark network" in refused(path)
