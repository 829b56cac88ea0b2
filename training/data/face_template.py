"""Measures the face template: the mean position of landmarks in a data set's frame, on training people only."""

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

    Two rounds: the detector's landmarks, then those that it finds again in faces aligned by the first round's mean. The
    mean is made symmetric, so that a mirrored picture gives the mirrored crop. Pictures without a face are left out.
    Raises DataError if no picture has a face.
    """
    found = [(photograph, find_faces(photograph, finder)) for photograph in photographs]
    faces = [(photograph, faces[choose(faces, "center", photograph)]) for photograph, faces in found if faces]
    if not faces:
        raise DataError("the template needs pictures with a face; no face was found")
    first = _mean([face.landmarks / photograph.grey.width for photograph, face in faces])
    alignment = Alignment(template=first, detector_sha256=finder.sha256)
    return _mean(
        [refine_landmarks(photograph, face, alignment, finder) / photograph.grey.width for photograph, face in faces]
    )


def _mean(shares: list[Points]) -> Template:
    mean = np.mean(shares, axis=0)
    mirrored = mean[MIRRORED] * [-1, 1] + [1, 0]
    return tuple((round(float(x), 4), round(float(y), 4)) for x, y in (mean + mirrored) / 2)
