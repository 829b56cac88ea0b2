"""YuNet compared with OpenCV's version, which runs the same network."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from model.arrays import Pixels
from model.imaging.detection import MIN_SCORE, OVERLAP, installed_detector
from model.imaging.yunet import KINDS, MAX_FACES, STRIDES, YuNet
from tests.faces import head_at, scene

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def ours() -> YuNet:
    return YuNet(installed_detector().read_bytes(), least_score=MIN_SCORE, overlap=OVERLAP)


def theirs(grey: Pixels, least_score: float = MIN_SCORE, overlap: float = OVERLAP) -> NDArray[np.floating]:
    size = (grey.shape[1], grey.shape[0])
    path = str(installed_detector())
    detector = cv2.FaceDetectorYN.create(path, "", size, least_score, overlap, MAX_FACES)
    _, rows = detector.detect(cv2.merge([grey, grey, grey]))
    return np.empty((0, 15), np.float32) if rows is None else np.asarray(rows, np.float32)


def grey(*heads: int, size: tuple[int, int] = (640, 480)) -> Pixels:
    placed = [
        head_at(head, 110 + 160 * number, 160 + 30 * number, 24 + 4 * number) for number, head in enumerate(heads)
    ]
    return np.asarray(scene(*placed, size=size).convert("L"))


@pytest.mark.parametrize("heads", [(0,), (1,), (2, 3), (0, 1, 4)])
@pytest.mark.parametrize("size", [(640, 480), (448, 336), (401, 333), (160, 300)])
def test_faces_equal_those_of_opencv(ours: YuNet, heads: tuple[int, ...], size: tuple[int, int]) -> None:
    picture = grey(*heads, size=size)
    expected = theirs(picture)
    found = ours.detect(picture)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    assert np.abs(found - expected).max(initial=0) < 0.01


def test_compared_pictures_have_faces(ours: YuNet) -> None:
    assert len(ours.detect(grey(0, 1, 4))) == 3


def test_low_threshold_and_high_overlap_equal_opencv() -> None:
    ours = YuNet(installed_detector().read_bytes(), least_score=0.05, overlap=0.9)
    picture = grey(0, 1, 4)
    expected = theirs(picture, 0.05, 0.9)
    assert len(expected) > 3
    assert np.abs(ours.detect(picture) - expected).max() < 0.01


@pytest.mark.parametrize("head", [0, 3])
def test_simplified_network_equals_the_file(ours: YuNet, head: int) -> None:
    """The file's network takes three equal channels of 640 pixels, and has 12 outputs."""
    picture = np.asarray(scene(head_at(head, 300, 280, 90), size=(640, 640)).convert("L"), np.float32)
    session = onnxruntime.InferenceSession(installed_detector(), providers=["CPUExecutionProvider"])
    names = [f"{kind}_{stride}" for kind in KINDS for stride in STRIDES]
    outputs = session.run(names, {session.get_inputs()[0].name: np.repeat(picture[None, None], 3, axis=1)})
    kinds = [np.concatenate(outputs[at : at + 3], axis=1)[0] for at in range(0, 12, 3)]
    found = ours.run(picture[None])[0].T
    found[:, :2] = 1 / (1 + np.exp(-found[:, :2]))
    for number, expected in zip((found[:, :1], found[:, 1:2], found[:, 2:6], found[:, 6:]), kinds, strict=True):
        assert np.abs(number - expected).max() < 1e-5 * max(1, np.abs(expected).max())


def test_pictures_together_equal_each_alone(ours: YuNet) -> None:
    pictures = np.stack([grey(0, size=(96, 64)), grey(1, size=(96, 64))]).astype(np.float32)
    together = ours.score_places(pictures)
    for number, picture in enumerate(pictures):
        for found, alone in zip(together, ours.score_places(picture[None]), strict=True):
            assert np.abs(found[number] - alone[0]).max() < 1e-4


def test_places_have_the_detected_landmarks(ours: YuNet) -> None:
    picture = grey(0, size=(320, 256))
    [row] = ours.detect(picture)
    scores, landmarks = ours.score_places(picture[None].astype(np.float32))
    best = int(scores[0].argmax())
    assert scores[0, best] == pytest.approx(row[14], abs=1e-6)
    assert np.abs(landmarks[0, best].ravel() - row[4:14]).max() < 1e-3


def test_picture_without_a_face_gives_no_rows(ours: YuNet) -> None:
    assert ours.detect(np.zeros((64, 96), np.uint8)).shape == (0, 15)


@pytest.mark.parametrize("said", [{}, {"ORT_DISABLE_TELEMETRY": "0"}])
def test_onnx_runtime_creates_no_telemetry_files(tmp_path: Path, said: dict[str, str]) -> None:
    """Before it sends telemetry, ONNX Runtime stores an identity of the device in the home folder."""
    code = "from model.imaging.detection import FaceFinder; FaceFinder()"
    variables = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / ".cache")}
    subprocess.run([sys.executable, "-c", code], env=variables | home | said, cwd=ROOT, check=True)
    assert list(tmp_path.iterdir()) == []
