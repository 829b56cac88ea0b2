"""A MobileFaceNet (an ONNX file) behind a minimal FastAPI: OpenCV's YuNet, five points, ONNX Runtime on one thread.

The network takes one picture, float32 (1, 3, 112, 112), RGB from 0 to 255, with the face at ArcFace's five points.
"""

import sys
import threading

import cv2
import numpy as np
import onnxruntime

from benchmarks.peers.pair_app import Describe, Descriptor, serve_pairs
from model.imaging.alignment import fit_similarity

SIDE_PX = 112
POINTS = np.array([(38.29, 51.70), (73.53, 51.50), (56.03, 71.74), (41.55, 92.37), (70.73, 92.20)])
THRESHOLD = 0.3


def describer(network: str, detector: str) -> Describe:
    """A function for any number of threads: image file -> embedding (D,) of unit length."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    [network_input] = session.get_inputs()
    cv2.setNumThreads(1)
    own = threading.local()  # a detector must not be used by two threads at once

    def describe(image: bytes) -> Descriptor | None:
        pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
        assert pixels is not None
        if not hasattr(own, "detector"):
            own.detector = cv2.FaceDetectorYN.create(detector, "", (1, 1))
        own.detector.setInputSize(pixels.shape[1::-1])
        _, faces = own.detector.detect(pixels)
        if faces is None:
            return None
        largest = max(faces, key=lambda face: float(face[2] * face[3]))
        transform = fit_similarity(largest[4:14].reshape(5, 2).astype(np.float64), POINTS)
        matrix = np.column_stack([transform.matrix, transform.shift])
        crop = cv2.warpAffine(pixels, matrix, (SIDE_PX, SIDE_PX))
        batch = crop[None, :, :, ::-1].transpose(0, 3, 1, 2).astype(np.float32)
        [[embedding]] = session.run(None, {network_input.name: batch})
        unit: Descriptor = embedding / np.linalg.norm(embedding)
        return unit

    return describe


def similarity(left: Descriptor, right: Descriptor) -> float:
    """The cosine."""
    return float(left @ right)


if __name__ == "__main__":
    network, detector, port = sys.argv[1:]
    serve_pairs(describer(network, detector), similarity, THRESHOLD, int(port))
