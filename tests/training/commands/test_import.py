"""`python -m training import` on drawn people, and what is done with its checkpoint afterwards."""

import json
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper

from app.server.replica import open_verifier
from app.settings import read_settings
from model.checkpoint import load
from model.errors import DeviceError
from model.onnx import embedder
from tests.drawing import encode
from tests.faces import Placed, scene
from tests.model.support.onnx_graphs import SIDE_PX, edited, tiny_graph, try_out_once
from tests.training.support.small_faces import draw_faces
from training.__main__ import main
from training.commands import import_network
from training.conditions import condition_rates, fitting
from training.data.changes import CHANGES
from training.data.datasets import HoldOut
from training.data.preparation import open_album
from training.importing import self_test
from training.measuring import shared_changes
from training.runs.records import Elsewhere

TEMPLATE = [str(each) for each in (9.6, 12.0, 22.4, 12.0, 16.0, 17.6, 11.2, 24.0, 20.8, 24.0)]
DECLARED = ["--family", "custom", "--order", "rgb", "--values", "centred", "--template", *TEMPLATE]
TERMS = ["--license", "drawn by a test, free", "--source", "tests/model/support/onnx_graphs.py"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = draw_faces(tmp_path_factory.mktemp("drawn"))
    (folder / "tiny.onnx").write_bytes(tiny_graph())
    return folder


@pytest.fixture(autouse=True)
def one_trial_of_each_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedder, "try_out", try_out_once)
    monkeypatch.setattr(import_network, "try_out", try_out_once)


def data_of(folder: Path) -> list[str]:
    return ["--data", str(folder), "--images", "people", "--test-pairs", "test.txt", "--cache", str(folder / "cache"),
            "--device", "cpu"]  # fmt: skip


def importing(folder: Path, out: Path, *options: str) -> list[str]:
    listed = ["--train-people", "people.txt"]
    return ["import", str(folder / "tiny.onnx"), "--out", str(out), *TERMS, *data_of(folder), *listed, *options]


@pytest.fixture(scope="module")
def imported(folder: Path) -> Path:
    out = folder / "mine.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_network, "HELD_OUT", HoldOut(fraction=0.4, most_pictures=4))
        assert main(importing(folder, out, *DECLARED, "--trust-me")) == 0
    return out


def refusal(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    capsys.readouterr()
    assert main(arguments) == 1
    return capsys.readouterr().err.splitlines()[-1]


def test_a_network_becomes_a_calibrated_checkpoint(imported: Path) -> None:
    header = load(imported).header
    assert header.name == "mine"
    assert header.network.model_dump()["kind"] == "onnx"
    assert header.preprocessing.side_px == SIDE_PX
    assert header.calibration.scale > 0
    assert header.calibration.made_on == "10 people of people.txt, 25 pictures"
    assert header.threshold.value == 0.5
    assert header.threshold.split == "people of people.txt"
    assert header.false_match_curve
    assert header.false_match_curve.people == 10
    assert (header.provenance.license, header.provenance.source) == ("drawn by a test, free", TERMS[-1])
    assert json.loads(header.provenance.experiment)["self_test"] == "too few people"
    assert {metric.split for metric in header.metrics} == {"calibration"}


def test_the_service_opens_it(imported: Path) -> None:
    verifier = open_verifier(read_settings({"weights": imported, "device": "cpu"}, environment={}))
    assert verifier.header == load(imported).header


def test_the_service_does_not_start_on_a_gpu_without_its_runtime(imported: Path) -> None:
    with pytest.raises(DeviceError, match="device cuda needs an ONNX Runtime with CUDA for this network; replace the "):
        open_verifier(read_settings({"weights": imported, "device": "cuda"}, environment={}))


def test_the_card_has_source_and_licence(imported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["card", str(imported)]) == 0
    printed = capsys.readouterr().out
    assert "- licence: `drawn by a test, free`" in printed
    assert f"- source: `{TERMS[-1]}`" in printed


def test_it_is_evaluated_and_calibrated_like_our_own(
    imported: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(imported), *data_of(folder)]) == 0
    assert "test        accuracy at threshold" in capsys.readouterr().out
    out = folder / "calibrated.safetensors"
    assert main(["calibrate", str(imported), *data_of(folder), "--out", str(out), "--keep-alike"]) == 0
    assert load(out).header.embedding_sha256 == load(imported).header.embedding_sha256
    assert load(out).header.provenance.license == "drawn by a test, free"


def test_calibrations_on_other_people_have_the_rates_of_the_service(imported: Path, tmp_path: Path) -> None:
    studio, cache, out = tmp_path / "studio", tmp_path / "cache", tmp_path / "found.json"
    for person, picture in product(range(20, 40), range(3)):
        path = studio / f"Person_{person}" / f"{picture}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        head = Placed(person=person, at=(125, 118), inter_eye_px=36 + 6 * picture, tilt_deg=5 * picture)
        path.write_bytes(encode(scene(head, size=(250, 250))))
    arguments = ["elsewhere", str(imported), "--data", str(studio), "--cache", str(cache), "--device", "cpu"]
    assert main([*arguments, "--keep-alike", "--calibrate", "8", "--draws", "1", "--out", str(out)]) == 0
    found = Elsewhere.model_validate_json(out.read_bytes()).calibrations[-1]
    assert (found.people, found.every_picture) == (8, True)

    album = open_album(studio, cache, load(imported).header.preprocessing, "largest")
    verifier = open_verifier(read_settings({"weights": imported, "device": "cpu"}, environment={}))
    embeddings = verifier.embed(album.pixels[:].numpy())
    names = np.array([name for name, _ in album.keys])
    drawn = np.isin(names, np.unique(names)[np.random.default_rng(0).permutation(20)[:8]])
    one, other = np.triu_indices(len(names), 1)
    scores, same = verifier.compare(embeddings[one], embeddings[other]), names[one] == names[other]
    fitted = np.sort(scores[drawn[one] & drawn[other] & ~same])
    assert len(fitted) == 252  # of which two may be accepted
    threshold = fitted[-3:-1].mean()
    for outcome, at in ((found.calibrated, threshold), (found.default, verifier.header.threshold.value)):
        assert outcome
        assert outcome.fnmr
        there = ~drawn[one] & ~drawn[other]
        assert outcome.fmr.mean == pytest.approx((scores[there & ~same] >= at).mean())
        assert outcome.fnmr.mean == pytest.approx((scores[there & same] < at).mean())


def test_conditions_and_shared_changes_work_as_for_our_own(
    imported: Path, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dark = [each for each in CHANGES if each.name == "dark"]
    monkeypatch.setattr(fitting, "CHANGES", dark)
    monkeypatch.setattr(shared_changes, "MEASURED", dark)
    monkeypatch.setattr(condition_rates, "MIN_PICTURES", 2)
    out, listed = folder / "with-conditions.safetensors", ["--train-people", "people.txt"]
    assert main(["conditions", str(imported), "--out", str(out), *data_of(folder), *listed]) == 0
    assert load(out).header.embedding_sha256 == load(imported).header.embedding_sha256
    assert [each.condition for each in load(out).header.condition_rates] == ["dark", "not_photograph", "uncertain_face"]
    verifier = open_verifier(read_settings({"weights": out, "device": "cpu"}, environment={}))
    assert verifier.header.conditions
    capsys.readouterr()
    assert main(["shared-changes", str(out), *data_of(folder), *listed]) == 0
    assert "4 held-out people changed alike" in capsys.readouterr().out


def test_parts_of_it_cannot_be_left_out(imported: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["evaluate", str(imported), "--no-flip", *data_of(folder), "--train-people", "people.txt"]
    assert "parts of a network from elsewhere cannot be left out" in refusal(capsys, arguments)


def test_with_too_few_people_it_is_imported_without_held_out_people(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_network, "HELD_OUT", HoldOut(fraction=0.05))
    assert main(importing(folder, tmp_path / "out", *DECLARED, "--trust-me")) == 0
    assert "`conditions` and `shared-changes` will not work with this checkpoint: " in capsys.readouterr().out
    listed = ["--train-people", "people.txt"]
    arguments = ["conditions", str(tmp_path / "out"), "--out", str(tmp_path / "new"), *data_of(folder), *listed]
    assert "no people were held out" in refusal(capsys, arguments)


def test_a_declaration_that_is_surely_worse_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A zoom of 1.7 shows the ground around the drawn heads."""
    monkeypatch.setattr(self_test, "MIN_PEOPLE", 5)
    monkeypatch.setattr(self_test, "MARGIN", -0.9)
    line = refusal(capsys, importing(folder, tmp_path / "out", *DECLARED))
    assert line.startswith("error: the network is better as ")
    assert "insist by --trust-me" in line
    assert not (tmp_path / "out").exists()
    assert main(importing(folder, tmp_path / "out", *DECLARED, "--trust-me")) == 0
    printed = capsys.readouterr().out
    assert "rgb, centred, zoom 1" in printed
    assert "; kept as declared, by --trust-me" in printed
    assert json.loads(load(tmp_path / "out").header.provenance.experiment)["self_test"][0].startswith("rgb, centred")


def test_a_declaration_that_stands_the_test_is_recorded(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_test, "MIN_PEOPLE", 5)
    monkeypatch.setattr(self_test, "MARGIN", 10.0)
    assert main(importing(folder, tmp_path / "out", *DECLARED)) == 0
    shown = capsys.readouterr()
    assert "rgb, centred, zoom 1" in shown.out
    assert "cannot decide the test" not in shown.err
    assert json.loads(load(tmp_path / "out").header.provenance.experiment)["self_test"][0].startswith("rgb, centred")


def test_a_network_that_decides_like_one_without_training_is_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for least, said in ((0.0, False), (1.01, True)):
        monkeypatch.setattr(import_network, "LEAST_ACCURACY", least)
        assert main(importing(folder, tmp_path / "out", *DECLARED, "--trust-me")) == 0
        assert ("as by a network without training" in capsys.readouterr().err) == said


def test_a_test_that_few_people_leave_open_is_said(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_test, "MIN_PEOPLE", 5)
    monkeypatch.setattr(self_test, "MARGIN", -0.9)
    monkeypatch.setattr(self_test, "CONFIDENCE", 1.0)
    monkeypatch.setattr(self_test.Row, "better", False)
    assert main(importing(folder, tmp_path / "out", *DECLARED)) == 0
    assert "7 people cannot decide the test: as " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([*DECLARED, "--name", "../x"], "--name '../x': files get this name"),
        (["--family", "custom", "--order", "rgb"], "--family custom needs --order, --values and --template"),
        ([*DECLARED, "--side", "64"], "the graph's crops have 32 pixels; give another --side"),
        ([*DECLARED, "--output", "elsewhere"], "name one of the graph's outputs: 'embedding'"),
        ([*DECLARED, "--zoom", "5"], "a zoom of 5 shows"),
        ([*DECLARED[:-10], *reversed(TEMPLATE)], "--template: these are not the points of an upright face"),
        (DECLARED, "needs 50 people with several pictures; there are 7"),
    ],
)
def test_impossible_declarations_are_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert message in refusal(capsys, importing(folder, tmp_path / "out", *options))


@pytest.mark.parametrize("kept", [0.0, 1e-6])
def test_a_network_whose_output_is_constant_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kept: float
) -> None:
    model = edited(tiny_graph())
    [matrix] = (each for each in model.graph.initializer if each.name == "matrix")
    matrix.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(matrix) * np.float32(kept), "matrix"))
    arguments = importing(folder, tmp_path / "out", *DECLARED, "--trust-me")
    arguments[1] = str(tmp_path / "constant.onnx")
    Path(arguments[1]).write_bytes(model.SerializeToString())
    line = refusal(capsys, arguments)
    assert line.startswith("error: the output 'embedding' is the same for 16 different pictures; name another by --out")
    assert not (tmp_path / "out").exists()


def test_people_whom_the_network_does_not_tell_apart_are_refused_with_both_causes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folders have the first pictures of all people, then the second ones, and so on."""
    mixed = shutil.copytree(folder, tmp_path / "mixed", ignore=shutil.ignore_patterns("cache"))
    pictures = sorted(mixed.glob("people/*/*.png"))
    dealt = [path.read_bytes() for path in sorted(pictures, key=lambda path: path.stem[-4:])]
    for path, content in zip(pictures, dealt, strict=True):
        path.write_bytes(content)
    line = refusal(capsys, importing(mixed, tmp_path / "out", *DECLARED, "--trust-me"))
    assert "score no higher than the impostor pairs; check that each folder has photographs of one person, and " in line
    assert "if they are right, check what the network needs (--template, --values, --order, --output)" in line


def test_a_file_that_is_no_network_is_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = importing(folder, tmp_path / "out", *DECLARED)
    arguments[1] = str(folder / "people.txt")
    assert "not an ONNX file" in refusal(capsys, arguments)
    arguments[1] = str(folder / "missing.onnx")
    assert "missing.onnx: cannot be read" in refusal(capsys, arguments)
