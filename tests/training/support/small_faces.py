"""Drawn people in whose pictures the detector finds a face: the same people and lists as `small_people`."""

from pathlib import Path

import numpy as np
from PIL import Image

from tests.faces import Placed, scene
from tests.training.support.small_people import draw_people

SIZE = (250, 250)


def draw_faces(folder: Path) -> Path:
    """A data folder like that of `draw_people`; every third picture has a second, smaller face in it."""
    return draw_people(folder, _face)


def _face(person: int, picture: int) -> Image.Image:
    draws = np.random.default_rng([person, picture])
    inter_eye_px = draws.uniform(30, 50)
    head = Placed(person=person, at=(125, 118), inter_eye_px=inter_eye_px, tilt_deg=draws.uniform(-8, 8))
    other = [Placed(person=person + 40, at=(215, 40), inter_eye_px=15)] if picture % 3 == 0 else []
    return scene(*other, head, size=SIZE)
