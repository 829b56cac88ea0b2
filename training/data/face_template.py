"""Where faces stand in a data set's frame: the mean place of their landmarks, measured on training people alone."""

from collections.abc import Iterable

import numpy as np

from model.arrays import Points
from model.errors import DataError
from model.imaging.crops import choose, find_faces, refine_landmarks
from model.imaging.decoding import Photo
from model.imaging.detection import MIRRORED, FaceFinder
from model.imaging.preprocessing import Alignment

Template = tuple[tuple[float, float], ...]


def measure_template(photographs: Iterable[Photo], finder: FaceFinder) -> Template:
    """The mean landmarks of the faces nearest the centre, as shares of the frame's side.

    Two rounds: what the detector says at once, and what it says when it looks again at faces straightened by that. The
    mean is made symmetric, so that a mirrored face is straightened as its mirror image. Pictures without a face are
    left out. Raises DataError if none has one.
    """
    found = [(photograph, find_faces(photograph, finder)) for photograph in photographs]
    faces = [(photograph, faces[choose(faces, "center", photograph)]) for photograph, faces in found if faces]
    if not faces:
        raise DataError("a template takes a picture with a face in it; there is none")
    first = _mean([face.landmarks / photograph.grey.width for photograph, face in faces])
    alignment = Alignment(template=first, detector_sha256=finder.sha256)
    return _mean(
        [refine_landmarks(photograph, face, alignment, finder) / photograph.grey.width for photograph, face in faces]
    )


def _mean(shares: list[Points]) -> Template:
    mean = np.mean(shares, axis=0)
    mirrored = mean[MIRRORED] * [-1, 1] + [1, 0]
    return tuple((round(float(x), 4), round(float(y), 4)) for x, y in (mean + mirrored) / 2)
