"""YuNet (Wu, Peng and Yu, "YuNet: A Tiny Millisecond-level Face Detector", 2023), run by ONNX Runtime.

OpenCV has the same detector and takes more than twice as long for it; a test holds this one to that.

H W pixels, P places where a face may be, F faces
"""

import cv2
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from model.arrays import Pixels

Rows = NDArray[np.float32]

# The network looks for faces at every place of three grids, so many pixels apart.
STRIDES = (8, 16, 32)
OUTPUTS = [f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES]
MAX_FACES = 1000
# The memory that larger pictures take is given back after each, and kept for smaller ones.
KEPT_PX = 448


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
        return self._distinct(_faces(strides, places, box[found], points[found].reshape(-1, 5, 2), scores[found]))

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


def _faces(strides: Rows, places: Rows, box: Rows, points: Rows, scores: Rows) -> Rows:
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
