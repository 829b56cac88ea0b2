"""dlib's face recognition by the package face_recognition, with its own threshold, behind a minimal FastAPI.

dlib keeps the interpreter's lock while it computes, so this server uses one core.
"""

import io
import sys

import face_recognition
import numpy as np

from benchmarks.peers.pair_app import Descriptor, serve_pairs

# The tolerance of face_recognition.compare_faces.
LARGEST_DISTANCE = 0.6


def describe(image: bytes) -> Descriptor | None:
    """The descriptor (128,) of the largest face, found by face_recognition's default detector."""
    pixels = face_recognition.load_image_file(io.BytesIO(image))
    boxes = face_recognition.face_locations(pixels)
    if not boxes:
        return None
    largest = max(boxes, key=lambda box: (box[2] - box[0]) * (box[1] - box[3]))
    descriptor: Descriptor = face_recognition.face_encodings(pixels, [largest])[0]
    return descriptor


def similarity(left: Descriptor, right: Descriptor) -> float:
    """Minus the distance."""
    return -float(np.linalg.norm(left - right))


if __name__ == "__main__":
    serve_pairs(describe, similarity, -LARGEST_DISTANCE, port=int(sys.argv[-1]))
