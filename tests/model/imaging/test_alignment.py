"""The least-squares similarity transform, and warping pictures with it."""

import numpy as np
import pytest
from PIL import Image, ImageFilter
from pydantic import ValidationError

from model.arrays import Pixels, Points
from model.imaging.alignment import SimilarityTransform, fit_similarity
from model.imaging.preprocessing import Alignment
from model.imaging.warping import sample, warp
from tests.drawing import portrait
from tests.model.support.pictures import difference

TEMPLATE = ((0.4, 0.4), (0.6, 0.4), (0.5, 0.5), (0.42, 0.6), (0.58, 0.6))
GREY = portrait(3, size=(160, 120)).convert("L").filter(ImageFilter.GaussianBlur(1))


def similarity(
    scale: float = 1.0, tilt_deg: float = 0.0, shift: tuple[float, float] = (0.0, 0.0)
) -> SimilarityTransform:
    angle = np.radians(tilt_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return SimilarityTransform(scale * turn, np.array(shift))


def about(centre: tuple[float, float], scale: float = 1.0, tilt_deg: float = 0.0) -> SimilarityTransform:
    """A rotation and scaling about a point."""
    matrix = similarity(scale, tilt_deg).matrix
    return SimilarityTransform(matrix, np.array(centre) - matrix @ np.array(centre))


def slow_fit(source: Points, target: Points) -> SimilarityTransform:
    """Least squares over a, b, tx, ty: x' = a x - b y + tx, y' = b x + a y + ty."""
    rows, values = [], []
    for (x, y), (wanted_x, wanted_y) in zip(source, target, strict=True):
        rows += [[x, -y, 1, 0], [y, x, 0, 1]]
        values += [wanted_x, wanted_y]
    a, b, tx, ty = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0]
    return SimilarityTransform(np.array([[a, -b], [b, a]]), np.array([tx, ty]))


def spots(points: Points, side: int, deviation: float) -> Image.Image:
    """A soft spot of light around each point; the first pixel's centre is at 0.5."""
    places = np.arange(side) + 0.5
    rows, columns = (np.exp(-(((places - points[:, [axis]]) / deviation) ** 2) / 2) for axis in (1, 0))
    return Image.fromarray(np.rint(255 * (rows.T @ columns).clip(0, 1)).astype(np.uint8))


def centres(picture: Pixels, near: Points, radius: int = 8) -> Points:
    """The centre of brightness around each point; the first pixel's centre is at 0.5."""
    found = []
    for x, y in np.floor(near).astype(int):
        part = picture[y - radius : y + radius + 1, x - radius : x + radius + 1].astype(float)
        rows, columns = np.indices(part.shape) + 0.5
        found.append(((part * columns).sum() / part.sum() + x - radius, (part * rows).sum() / part.sum() + y - radius))
    return np.array(found)


@pytest.mark.parametrize("seed", range(20))
def test_fit_equals_least_squares(seed: int) -> None:
    draws = np.random.default_rng(seed)
    source = draws.uniform(0, 100, (5, 2))
    target = similarity(draws.uniform(0.1, 4), draws.uniform(-90, 90), (30, -7))(source) + draws.normal(0, 6, (5, 2))
    quick, slow = fit_similarity(source, target), slow_fit(source, target)
    assert np.allclose(quick.matrix, slow.matrix)
    assert np.allclose(quick.shift, slow.shift)


@pytest.mark.parametrize("tilt", [-179, -90, -20, 0, 45, 180])
def test_fit_finds_the_applied_transform(tilt: float) -> None:
    applied = similarity(2.5, tilt, (-40, 12))
    source = np.array(TEMPLATE) * 80
    found = fit_similarity(source, applied(source))
    assert np.allclose(found.matrix, applied.matrix)
    assert np.allclose(found(source), applied(source))
    assert found.scale == pytest.approx(2.5)


def test_fit_never_reflects() -> None:
    source = np.array(TEMPLATE)
    found = fit_similarity(source, source * [-1, 1])
    assert np.linalg.det(found.matrix) > 0
    assert np.allclose(found.matrix[0], [found.matrix[1, 1], -found.matrix[1, 0]])


def test_inverse_undoes_the_transform() -> None:
    points = np.random.default_rng(0).uniform(-50, 50, (7, 2))
    transform = similarity(0.3, 33, (5, -9))
    assert np.allclose(transform.inverse()(transform(points)), points)
    assert np.allclose(transform(transform.inverse()(points)), points)


def test_template_points_scale_with_side_and_crop() -> None:
    alignment = Alignment(template=TEMPLATE, detector_sha256="")
    assert np.allclose(alignment.points(200), np.array(TEMPLATE) * 200)
    cropped = alignment.points(100, crop=0.5)
    assert np.allclose(cropped, np.array(TEMPLATE) * 200 - 50)


@pytest.mark.parametrize("template", [TEMPLATE[:4], (*TEMPLATE, (0.1, 0.1)), (TEMPLATE[0], *TEMPLATE[:4])])
def test_template_needs_five_different_points(template: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ValidationError):
        Alignment(template=template, detector_sha256="")


def test_identity_changes_little() -> None:
    assert difference(warp(GREY, similarity(), 120), np.asarray(GREY)[:, :120]) < 1


def test_shift_by_whole_pixels_keeps_the_pixels() -> None:
    whole = warp(GREY, similarity(), 120)
    assert np.array_equal(warp(GREY, similarity(shift=(-30, -15)), 80)[1:, 1:], whole[16:95, 31:110])


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_reduction_by_whole_pixels_is_their_mean(factor: int) -> None:
    large = portrait(3, size=(120 * factor, 120 * factor)).convert("L")
    assert difference(warp(large, similarity(1 / factor), 120), np.asarray(large.reduce(factor))) < 1


def test_quarter_turn_equals_transpose() -> None:
    square = GREY.crop((0, 0, 100, 100))
    turned = warp(square, about((50, 50), tilt_deg=90), 100)
    assert difference(turned, warp(square.transpose(Image.Transpose.ROTATE_270), similarity(), 100)) < 0.1


@pytest.mark.parametrize("tilt", [-20, 7, 45])
@pytest.mark.parametrize("scale", [0.07, 0.2, 0.5, 0.9, 1.0, 1.7])
def test_points_and_pixels_move_alike(scale: float, tilt: float) -> None:
    wanted = np.array([(40.3, 38.8), (80.0, 40.5), (59.5, 60.0), (45.1, 81.4), (77.7, 78.2)])
    side = round(180 / scale)
    matrix = similarity(scale, tilt).matrix
    transform = SimilarityTransform(matrix, np.array([60.0, 60.0]) - matrix @ [side / 2, side / 2])
    picture = spots(transform.inverse()(wanted), side, 1.8 / scale)
    assert np.abs(centres(warp(picture, transform, 120), wanted) - wanted).max() < 0.1


@pytest.mark.parametrize("scale", [1 / 2.1, 1 / 3.3, 1 / 7, 1 / 20])
def test_fine_pattern_becomes_grey(scale: float) -> None:
    side = round(80 / scale)
    board = Image.fromarray((np.indices((side, side)).sum(axis=0) % 2 * 255).astype(np.uint8))
    matrix = similarity(scale, 17).matrix
    small = warp(board, SimilarityTransform(matrix, np.array([20.0, 20.0]) - matrix @ [side / 2, side / 2]), 40)
    assert small.std() < 4
    assert abs(float(small.mean()) - 127.5) < 3


@pytest.mark.parametrize("scale", [0.2, 0.9, 1.7])
def test_colour_channels_are_warped_alike(scale: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    picture = Image.fromarray(noise)
    transform = similarity(scale, 20)
    warped = warp(picture, transform, 50)
    assert warped.shape == (50, 50, 3)
    for number, channel in enumerate(picture.split()):
        assert np.array_equal(warped[..., number], warp(channel, transform, 50))


def test_edges_are_repeated() -> None:
    ramp = Image.linear_gradient("L")
    beyond = warp(ramp, similarity(shift=(20, 20)), 300)
    assert np.abs(beyond[:20].astype(int) - beyond[0, 0]).max() == 0
    assert beyond[0, 0] <= 1
    assert beyond[-1].min() >= 254
    assert np.array_equal(beyond[:, 0], beyond[:, 19])


@pytest.mark.parametrize("shift", [(500, 500), (-5000, 0), (0, 90000)])
def test_picture_outside_the_frame_gives_its_edge(shift: tuple[float, float]) -> None:
    assert np.ptp(warp(Image.new("L", (64, 48), 77), similarity(shift=shift), 30)) == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1)])
def test_thin_pictures_are_warped(size: tuple[int, int]) -> None:
    assert (warp(Image.new("L", size, 50), similarity(0.4, 10), 50) == 50).all()


@pytest.mark.parametrize("scale", [0.2, 0.9, 1.7])
@pytest.mark.parametrize("shift", [(10, 5), (-30, 40)])
def test_sample_shows_what_warp_shows(scale: float, shift: tuple[float, float]) -> None:
    picture = GREY.filter(ImageFilter.GaussianBlur(3))
    found = sample(np.asarray(picture), similarity(scale, 20, shift), 80)
    expected = warp(picture, similarity(scale, 20, shift), 80)
    assert found.dtype == np.float32
    assert difference(found, expected) < 1


def test_sample_is_smooth() -> None:
    first, second = (sample(np.asarray(GREY), similarity(0.9, 10, (x, 3)), 80) for x in (5, 5 + 1e-4))
    assert 0 < np.abs(first - second).max() < 0.1


@pytest.mark.parametrize(("shift", "shade"), [((20, 50), 77), ((-60, 0), 77), ((0, 90000), 0)])
def test_sample_outside_the_picture_gives_its_edge_then_black(shift: tuple[float, float], shade: int) -> None:
    assert (sample(np.full((48, 64), 77, np.uint8), similarity(shift=shift), 30) == shade).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1)])
def test_thin_pictures_are_sampled(size: tuple[int, int]) -> None:
    assert (sample(np.full(size, 50, np.uint8), similarity(0.4, 10), 50) == 50).all()
