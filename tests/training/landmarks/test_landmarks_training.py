"""Training the landmark network: its pictures, what it sees of them, its loss, and its file."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from model.errors import DataError
from model.imaging.landmarks import LandmarkNetwork
from tests.drawing import encode
from tests.faces import head_at, scene
from training.__main__ import main
from training.data.album import Key
from training.landmarks.frames import FRAME_PX, FRAME_SHARE, Frames, frame_template, make_frames
from training.landmarks.learning import VIEW_SHARE, LandmarkExperiment, Views, draw_views, train
from training.landmarks.network import SIDE_PX, LandmarkModel, to_onnx
from training.learning.experiments import ALIGNED, LFW_ALIGNMENT, SMOOTH_ALIGNMENT

SMOOTH = ALIGNED.model_copy(update={"alignment": SMOOTH_ALIGNMENT})
INTER_EYE = float(LFW_ALIGNMENT.points(1)[1, 0] - LFW_ALIGNMENT.points(1)[0, 0])


def drawn_files(count: int) -> list[tuple[Key, bytes]]:
    """Pictures of different drawn heads at different places, sizes and tilts."""
    return [
        ((f"P{i}", f"P{i}_0001"), encode(scene(head_at(i, 300 + 5 * i, 200 + 3 * i, 50 + i, tilt_deg=i % 7 * 4 - 12))))
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def frames() -> Frames:
    return make_frames(drawn_files(24), SMOOTH, processes=1)


def test_frames_show_aligned_faces(frames: Frames) -> None:
    assert len(frames.pixels) + frames.left_out == 24
    assert frames.left_out < 6
    assert frames.pixels.shape[1:] == (FRAME_PX, FRAME_PX)
    inter_eye_px = INTER_EYE / FRAME_SHARE * FRAME_PX
    off = (frames.landmarks - torch.from_numpy(frame_template(LFW_ALIGNMENT))) / inter_eye_px
    assert off.mean(1).abs().max() < 0.01, "a similarity transform fits the landmarks to the template"
    assert off.abs().max() < 0.3


def test_pictures_without_a_face_are_left_out(frames: Frames) -> None:
    empty = (("Nobody", "Nobody_0001"), encode(scene()))
    found = make_frames([empty, *drawn_files(1)], SMOOTH, processes=1)
    assert (len(found.pixels), found.left_out) == (1, 1)
    assert torch.equal(found.pixels[0], frames.pixels[0])
    with pytest.raises(DataError, match="no picture has a face"):
        make_frames([empty], SMOOTH, processes=1)


def dotted(at: tuple[float, float]) -> torch.Tensor:
    """A black frame with a bright dot."""
    y, x = torch.meshgrid(torch.arange(FRAME_PX) + 0.5, torch.arange(FRAME_PX) + 0.5, indexing="ij")
    return torch.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / 8)[None, None]


@pytest.mark.parametrize(
    ("tilt_deg", "scale", "shift"), [(0, 1, (0, 0)), (30, 0.9, (0.02, -0.01)), (-20, 1.2, (0, 0.02))]
)
def test_views_show_each_point_where_the_landmark_is(tilt_deg: float, scale: float, shift: tuple[float, float]) -> None:
    views, at = Views(LFW_ALIGNMENT), (95.0, 84.0)
    seen, places = views.look(
        dotted(at),
        torch.tensor(at).expand(1, 5, 2),
        torch.tensor([math.radians(tilt_deg)]),
        torch.tensor([float(scale)]),
        torch.tensor([shift]),
    )
    row, column = divmod(int(seen[0, 0].argmax()), SIDE_PX)
    assert np.abs(places[0, 0].numpy() * SIDE_PX - [column + 0.5, row + 0.5]).max() < 1


def test_view_without_a_change_shows_the_template() -> None:
    views = Views(LFW_ALIGNMENT)
    landmarks = torch.from_numpy(frame_template(LFW_ALIGNMENT)).float()[None]
    zero = torch.zeros(1)
    _, places = views.look(torch.zeros(1, 1, FRAME_PX, FRAME_PX), landmarks, zero, zero + 1, torch.zeros(1, 2))
    assert np.abs(places[0].numpy() - LFW_ALIGNMENT.points(1, VIEW_SHARE)).max() < 1e-5


def test_errors_are_in_distances_between_the_eyes() -> None:
    views = Views(LFW_ALIGNMENT)
    landmarks = torch.from_numpy(views.seen).float()[None]
    moved = landmarks + torch.tensor([0.5, -0.25]) * INTER_EYE / VIEW_SHARE
    errors = views.errors(moved, landmarks)
    assert errors.shape == (1, 9, 2)
    assert torch.allclose(errors, torch.tensor([0.5, -0.25]).expand(1, 9, 2), atol=1e-4)


def test_error_of_a_tilt_grows_towards_the_corners() -> None:
    views = Views(LFW_ALIGNMENT)
    landmarks = torch.from_numpy(views.seen).float()[None]
    angle = 0.1
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    errors = views.errors((landmarks - 0.5) @ turn.T + 0.5, landmarks)[0]
    corner = math.hypot(0.21, 0.21) / INTER_EYE
    assert torch.allclose(errors[5:].norm(dim=1), torch.full((4,), 2 * math.sin(angle / 2) * corner), rtol=1e-3)


def test_same_seed_draws_the_same_views(frames: Frames) -> None:
    def draw(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return draw_views(frames, torch.arange(8), Views(LFW_ALIGNMENT), LandmarkExperiment(), generator)[0]

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))
    assert draw(1).min() >= 0
    assert draw(1).max() <= 255


def test_training_learns_tilts(frames: Frames) -> None:
    said: list[str] = []
    plain = LandmarkExperiment(epochs=25, batch=8, covered=0, spoilt=0, average=0.9)
    network = train(frames, LFW_ALIGNMENT, plain, said.append)
    losses = [float(line.split()[-1]) for line in said]
    assert len(losses) == 25
    assert losses[-1] < 0.6 * losses[0]
    views, count = Views(LFW_ALIGNMENT), len(frames.pixels)
    tilts = torch.linspace(-0.3, 0.3, count)
    seen, places = views.look(
        frames.pixels[:, None].float(), frames.landmarks, tilts, torch.ones(count), torch.zeros(count, 2)
    )
    found = network(seen)
    guess = views.errors(torch.from_numpy(views.seen).float().expand_as(found), places)
    assert views.errors(found, places).abs().mean() < 0.6 * guess.abs().mean()


def test_file_finds_what_the_network_finds(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = LandmarkModel(LFW_ALIGNMENT.points(1, VIEW_SHARE))
    torch.nn.init.normal_(network.last.weight, std=0.01)
    generator = torch.Generator().manual_seed(0)
    frames = torch.rand(4, 1, SIDE_PX, SIDE_PX, generator=generator) * 255
    for _ in range(20):
        network(frames)
    with torch.no_grad():
        expected = network.eval()(frames) * SIDE_PX
    path = tmp_path / "landmarks.onnx"
    path.write_bytes(to_onnx(network))
    found = LandmarkNetwork(path).locate(frames[:, 0].numpy())
    assert np.abs(expected.numpy() - network.template.numpy() * SIDE_PX).max() > 0.5
    assert np.abs(found - expected.numpy()).max() < 1e-3


def test_command_writes_a_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = tmp_path / "data", tmp_path / "landmarks.onnx"
    for (name, picture), file in drawn_files(8):
        (data / "heads" / name).mkdir(parents=True)
        (data / "heads" / name / f"{picture}.png").write_bytes(file)
    (data / "people.txt").write_text("8\n" + "".join(f"P{i}\t1\n" for i in range(8)))
    arguments = ["--data", str(data), "--images", "heads", "--train-people", "people.txt", "--cache", str(tmp_path)]
    assert main(["landmarks", "--out", str(out), "--epochs", "1", *arguments]) == 0
    assert f"sha256 {LandmarkNetwork(out).sha256}" in capsys.readouterr().out
