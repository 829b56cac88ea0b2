"""The network that finds the landmarks of a face that is roughly aligned, run by ONNX Runtime.

`python -m training landmarks` trains it and writes its file, which says where it expects the landmarks. It has seen
faces with glasses and masks, out of focus, noisy and badly lit, so it finds what a detector misses there.

N frames, H W pixels
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from model.arrays import Points
from model.errors import DetectorError

# The name in the file's metadata of the five points, as shares of the frame's side.
TEMPLATE = "template"


def shipped_landmarks() -> Path:
    """The path of the file that is part of facepair."""
    return Path(__file__).with_name("landmarks.onnx")


class LandmarkNetwork:
    """The network. Any number of threads may call `locate`, and each call uses only its caller's core.

    `template`, float64 (5, 2), is where the landmarks of an aligned face are in a frame of `side_px`, in pixels.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Reads the network's file, by default the shipped one. Raises DetectorError."""
        path = path or shipped_landmarks()
        try:
            model = path.read_bytes()
        except OSError as error:
            raise DetectorError(f"{path}: the landmark network cannot be read: {error.strerror}") from error
        self.sha256 = hashlib.sha256(model).hexdigest()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            [frames] = self._session.get_inputs()
            self.side_px = int(frames.shape[-1])
            shares = json.loads(self._session.get_modelmeta().custom_metadata_map[TEMPLATE])
            self.template: Points = np.array(shares, np.float64).reshape(5, 2) * self.side_px
        except Exception as error:  # foreign bytes make the parser raise many types of exceptions
            raise DetectorError(f"{path}: not a landmark network, or damaged; install facepair again") from error
        self._input = frames.name

    def locate(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Grey frames float32 (N, H, W) of `side_px`, values 0 to 255 -> landmarks (N, 5, 2) in pixels of the frame."""
        [found] = self._session.run(None, {self._input: frames[:, None]})
        landmarks: NDArray[np.float32] = found
        return landmarks
