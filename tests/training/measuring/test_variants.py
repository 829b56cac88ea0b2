"""What `evaluate` measures of a checkpoint with a part left out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.checkpoint import Checkpoint, load
from model.errors import DataError
from model.networks.architecture import restore
from model.networks.embedder import normalise, save, to_unit
from model.networks.residual import ResidualNetwork
from tests.conftest import describe, tiny_network
from tests.faces import Placed, scene
from tests.training.support.small_faces import draw_faces
from tests.training.support.small_pairs import CPU
from tests.training.support.small_people import SMALL_PEOPLE, album_of, data_of, draw_people
from training.__main__ import main
from training.data.datasets import PeopleData
from training.data.preparation import open_album
from training.learning.experiments import ALIGNED
from training.learning.loop import train
from training.measuring.variants import Part, leave_out
from training.runs.finish import finish
from training.runs.records import Variant
from training.scoring import raw_scores, score_pairs
from training.statistics.calibration import platt

RUN = replace(SMALL_PEOPLE, epochs=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_people(tmp_path_factory.mktemp("drawn"))


@pytest.fixture(scope="module")
def data(folder: Path) -> PeopleData:
    return data_of(album_of(folder, folder / "cache"))


@pytest.fixture(scope="module")
def path(folder: Path, data: PeopleData) -> Path:
    """The checkpoint of a finished run."""
    finish(RUN, train(RUN, data, folder / "run", CPU), data, None, folder / "run", "code")
    return folder / "run" / "small-people.safetensors"


@pytest.fixture
def checkpoint(path: Path) -> Checkpoint:
    return load(path)


def arguments(folder: Path, path: Path, *more: str) -> list[str]:
    return ["evaluate", str(path), "--data", str(folder), "--images", "people", "--cache", str(folder / "cache"),
            "--train-people", "people.txt", "--test-pairs", "test.txt", "--device", "cpu", *more]  # fmt: skip


def test_cosine_variant_changes_only_the_head(checkpoint: Checkpoint, data: PeopleData) -> None:
    network, threshold = leave_out(checkpoint, ["head"], data, CPU)
    raw, same = raw_scores(network, data.album, data.validation)
    before = restore(checkpoint)
    assert isinstance(before, ResidualNetwork)
    pairs = data.validation
    embeddings = before.embed(_images(data))
    cosines = torch.nn.functional.cosine_similarity(embeddings[pairs.left], embeddings[pairs.right])
    assert raw == pytest.approx(cosines.detach().numpy(), abs=1e-4)
    scores, _ = score_pairs(network, data.album, pairs)
    assert threshold == 0.5
    assert scores == pytest.approx(1 / (1 + np.exp(-np.polyval(platt(raw, same), raw))), abs=1e-5)
    assert np.array_equal(np.argsort(raw, kind="stable"), np.argsort(scores, kind="stable"))


def test_no_flip_variant_ignores_mirror_images(checkpoint: Checkpoint, data: PeopleData) -> None:
    network, _ = leave_out(checkpoint, ["flip"], data, CPU)
    before = restore(checkpoint)
    assert isinstance(before, ResidualNetwork)
    images = _images(data)
    assert torch.allclose(network.embed(images), before.forward(images), atol=1e-5)
    assert not torch.allclose(network.embed(images), before.embed(images), atol=1e-3)
    assert not torch.equal(network.head.get_buffer("projection"), before.head.get_buffer("projection"))


def test_unchanged_checkpoint_repeats_the_metrics_of_its_run(checkpoint: Checkpoint, data: PeopleData) -> None:
    network, threshold = leave_out(checkpoint, [], data, CPU)
    assert threshold == pytest.approx(checkpoint.header.threshold.value, abs=1e-6)
    before = restore(checkpoint)
    assert isinstance(before, ResidualNetwork)
    assert torch.allclose(network.head.scale, before.head.scale, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "parts", "what"),
    [
        (["--no-flip"], ["flip"], "no flip averaging"),
        (["--head", "cosine"], ["head"], "the cosine instead of the fitted head"),
        (
            ["--no-flip", "--head", "cosine"],
            ["flip", "head"],
            "no flip averaging, the cosine instead of the fitted head",
        ),
        ([], [], ""),
    ],
)
def test_command_writes_the_variant(
    folder: Path,
    path: Path,
    data: PeopleData,
    checkpoint: Checkpoint,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    parts: list[Part],
    what: str,
) -> None:
    assert main(arguments(folder, path, *options, "--out", str(tmp_path / "evaluations" / "one.json"))) == 0
    found = Variant.model_validate_json((tmp_path / "evaluations" / "one.json").read_bytes())
    threshold = leave_out(checkpoint, parts, data, CPU)[1] if parts else checkpoint.header.threshold.value
    assert (found.what, found.left_out, found.images) == (what, 0, "people")
    assert found.threshold == pytest.approx(threshold)
    assert found.checkpoint_sha256 == checkpoint.header.checkpoint_sha256
    values = {metric.name: metric.value for metric in found.metrics}
    assert all(metric.value == values[metric.name] for metric in found.over_people)
    assert what in capsys.readouterr().out


def test_other_people_or_pictures_are_refused(
    folder: Path, path: Path, checkpoint: Checkpoint, data: PeopleData, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "nine.txt").write_text("\n".join((folder / "people.txt").read_text().splitlines()[1:10]) + "\n")
    assert main([*arguments(folder, path, "--no-flip"), "--train-people", "nine.txt"]) == 1
    assert "was trained on another list of people" in capsys.readouterr().err
    other = replace(data, album=replace(data.album, sha256="other"))
    with pytest.raises(DataError, match="was trained on other pictures"):
        leave_out(checkpoint, ["flip"], other, CPU)


def test_leaving_out_a_missing_part_is_refused(
    folder: Path, checkpoint_path: Path, checkpoint: Checkpoint, data: PeopleData, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(folder, checkpoint_path, "--no-flip")) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: tiny: no people were held out")
    network = checkpoint.header.network.model_copy(update={"head": "cosine"})
    header = checkpoint.header.model_copy(update={"network": network})
    with pytest.raises(DataError, match="already has head cosine"):
        leave_out(replace(checkpoint, header=header), ["head"], data, CPU)


def test_leaving_out_what_a_thumbnail_needs_is_refused(checkpoint: Checkpoint, data: PeopleData) -> None:
    thumbnail = {"flip_average": False, "thumbnail_cells": 8, "thumbnail_values": 4, "dimension": 20}
    network = checkpoint.header.network.model_copy(update=thumbnail)
    header = checkpoint.header.model_copy(update={"network": network})
    with pytest.raises(
        DataError, match="cannot leave out head: thumbnail_cells must divide side_px, and need the head"
    ):
        leave_out(replace(checkpoint, header=header), ["head"], data, CPU)


def _images(data: PeopleData) -> torch.Tensor:
    return normalise(to_unit(data.album.pixels[:]), RUN.preprocessing)


def test_face_option_measures_the_largest_face(tmp_path: Path) -> None:
    folder = draw_faces(tmp_path / "data")
    beside = [Placed(person=0, at=(125, 118), inter_eye_px=28), Placed(person=9, at=(55, 60), inter_eye_px=40)]
    scene(*beside, size=(250, 250)).save(folder / "people" / "Person_0" / "Person_0_0001.png")
    path = tmp_path / "aligned.safetensors"
    save(path, tiny_network(), describe().model_copy(update={"preprocessing": ALIGNED}))
    found = []
    for face in ("center", "largest"):
        out = tmp_path / f"{face}.json"
        assert main(arguments(folder, path, "--face", face, "--out", str(out))) == 0
        found.append(Variant.model_validate_json(out.read_bytes()))
    assert [each.what for each in found] == ["", "the largest face of each picture"]
    album = open_album(folder / "people", folder / "cache", ALIGNED, "largest")
    assert found[1].data_sha256 == album.sha256 != found[0].data_sha256
    assert main(arguments(folder, path, "--face", "largest", "--no-flip")) == 1


@pytest.mark.parametrize("more", [[], ["--no-flip"]])
def test_face_option_without_alignment_is_refused(
    folder: Path, path: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    assert main(arguments(folder, path, "--face", "largest", *more)) == 1
    assert "--face largest needs a network" in capsys.readouterr().err
