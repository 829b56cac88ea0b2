"""The limit of faces in a request, and that excess faces cost no alignment."""

import pytest

from model.errors import TooManyFaces
from model.imaging.analysis import FaceAllowance, TooManyTogether, analyse
from model.imaging.crops import Crop, align
from model.imaging.decoding import decode
from model.imaging.detection import FaceFinder
from tests.app.support.crowds import CROWD
from training.learning.experiments import ALIGNED


def test_image_with_too_many_faces_takes_no_allowance() -> None:
    faces = FaceAllowance(4)
    with pytest.raises(TooManyFaces, match="there are 5 faces, and a request may have 4") as raised:
        faces.take(5)
    assert not isinstance(raised.value, TooManyTogether)
    faces.take(4)


def test_images_with_too_many_faces_together_are_refused() -> None:
    faces = FaceAllowance(4)
    faces.take(2)
    faces.take(2)
    with pytest.raises(TooManyTogether, match="more than the 4 faces"):
        faces.take(1)
    faces.take(0)


@pytest.mark.parametrize(("taken", "straightened"), [(1, 3), (2, 0)])
def test_faces_are_counted_before_they_are_aligned(
    finder: FaceFinder, monkeypatch: pytest.MonkeyPatch, taken: int, straightened: int
) -> None:
    crops: list[Crop] = []

    def counted(*arguments: object) -> Crop:
        crops.append(align(*arguments))  # type: ignore[arg-type]  # as it was called
        return crops[-1]

    monkeypatch.setattr("model.imaging.analysis.align", counted)
    faces = FaceAllowance(4)
    faces.take(taken)
    try:
        analyse(decode(CROWD, ALIGNED), "any", ALIGNED, finder, allowance=faces)
    except TooManyTogether:
        assert taken == 2
    assert len(crops) == straightened
