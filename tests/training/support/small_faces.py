"""Drawn people in whose pictures the detector finds a face: the same people and lists as `small_people`."""

from pathlib import Path

import numpy as np

from tests.drawing import encode
from tests.faces import Placed, scene
from tests.training.support.small_people import PICTURES, write_lists

SIZE = (250, 250)


def draw_faces(folder: Path) -> Path:
    """A data folder like that of `draw_people`; every third picture has a second, smaller face in it."""
    for person, count in enumerate(PICTURES):
        name = f"Person_{person}"
        (folder / "people" / name).mkdir(parents=True)
        for picture in range(1, count + 1):
            draws = np.random.default_rng([person, picture])
            inter_eye_px = draws.uniform(30, 50)
            head = Placed(person=person, at=(125, 118), inter_eye_px=inter_eye_px, tilt_deg=draws.uniform(-8, 8))
            other = [Placed(person=person + 40, at=(215, 40), inter_eye_px=15)] if picture % 3 == 0 else []
            path = folder / "people" / name / f"{name}_{picture:04d}.png"
            path.write_bytes(encode(scene(*other, head, size=SIZE)))
    write_lists(folder)
    return folder
