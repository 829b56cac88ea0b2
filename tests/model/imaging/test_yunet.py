"""YuNet compared with OpenCV's version, which runs the same network."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from model.arrays import Pixels
from model.imaging.detection import MAX_FACES, MIN_SCORE, OVERLAP, YuNet, installed_detector
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
