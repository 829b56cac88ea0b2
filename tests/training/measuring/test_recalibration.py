"""`python -m training calibrate`: new thresholds for the same network, from the user's own pictures."""

import re
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from model.checkpoint import Checkpoint, load
from model.conditions import ConditionRates
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.architecture import restore
from model.networks.calibrated import restore_calibrated
from model.networks.configurations import ResidualConfig
from model.networks.embedder import save
from model.networks.residual import ResidualNetwork, initialise
from model.similarity import FalseMatchCurve, Metric, OperatingPoint, Threshold, similarity
from model.verifier import Verifier
from tests.conftest import describe, tiny_network
from tests.drawing import encode, portrait
from tests.faces import Placed, scene
from tests.model.cpu.test_embedder import crops
from tests.model.test_similarity import curve
from tests.training.support.small_faces import draw_faces
from tests.training.support.small_people import PICTURES
from training.__main__ import main
from training.data.lists import read_pairs, resolve
from training.data.preparation import open_album
from training.learning.experiments import ALIGNED
from training.measuring.samples import some_people
from training.scoring import score_pairs

OLD = (
    Metric(name="accuracy at threshold", split="test", value=0.9, pairs=1000),
    Metric(name="area under ROC", split="test", value=0.95, pairs=1000),
)
LOW = Threshold(value=0.01, method="given", split="none", pairs=0)
SMALL_COSINE = ResidualConfig(side_px=32, view_px=16, channels=(4, 4, 6, 8), dimension=16, head="cosine")
NETWORKS = ["siamese", "aligned", "residual"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_faces(tmp_path_factory.mktemp("drawn"))


def save_one(path: Path, kind: str) -> Checkpoint:
    """A checkpoint of either network, of whole pictures or of straightened faces, with figures of an old threshold."""
    if kind == "residual":
        network = ResidualNetwork(SMALL_COSINE)
        initialise(network, torch.Generator().manual_seed(1))  # better than chance on the drawn heads
        preprocessing = PreprocessingConfig(side_px=32, crop=0.8, standardised=True)
        changed = {"network": SMALL_COSINE, "preprocessing": preprocessing, "metrics": OLD, "threshold": LOW}
        save(path, network.eval(), describe().model_copy(update=changed))
        return load(path)
    preprocessing = ALIGNED if kind == "aligned" else PreprocessingConfig()
    changed = {"preprocessing": preprocessing, "metrics": OLD, "threshold": LOW}
    save(path, tiny_network(), describe().model_copy(update=changed))
    return load(path)


def arguments(folder: Path, tmp_path: Path, *more: str) -> list[str]:
    """Drawn heads are alike to a random network, hence --keep-alike."""
    return ["calibrate", str(tmp_path / "old.safetensors"), "--data", str(folder), "--images", "people", "--cache",
            str(tmp_path / "cache"), "--device", "cpu", "--out", str(tmp_path / "new.safetensors"), "--keep-alike",
            *more]  # fmt: skip


def write_list(path: Path, people: Literal["one", "two", "both"]) -> None:
    rows = [
        f"Person_{p}\t{a}\t{b}" for p, n in enumerate(PICTURES) for a in range(1, n + 1) for b in range(a + 1, n + 1)
    ]
    if people == "two":
        rows = []
    if people != "one":
        rows += [f"Person_{a}\t1\tPerson_{b}\t1" for a in range(10) for b in range(a + 1, 10)]
    path.write_text("\n".join(rows) + "\n")


@pytest.mark.parametrize("kind", NETWORKS)
def test_calibration_keeps_stored_embeddings_valid(folder: Path, tmp_path: Path, kind: str) -> None:
    old = save_one(tmp_path / "old.safetensors", kind)
    pixels = crops(old, 4)
    stored = Verifier.of(old, "cpu").embed(pixels)
    assert main(arguments(folder, tmp_path)) == 0
    new = load(tmp_path / "new.safetensors")
    verifier = Verifier.of(new, "cpu")
    assert np.array_equal(verifier.embed(pixels), stored)
    calibrated = similarity(new.header.calibration.adjust(verifier.embedder.compare(stored[:2], stored[2:])))
    assert np.array_equal(verifier.compare(stored[:2], stored[2:]), calibrated)
    assert new.header.embedding_sha256 == old.header.embedding_sha256
    assert new.header.checkpoint_sha256 != old.header.checkpoint_sha256
    tensors = [load_file(tmp_path / name) for name in ("old.safetensors", "new.safetensors")]
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0] | tensors[1])
    assert new.header.canary_similarity == pytest.approx(old.header.canary_similarity, abs=1e-6)


def test_command_needs_pictures_and_prints_the_number_of_people(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_one(tmp_path / "old.safetensors", "siamese")
    named = arguments(folder, tmp_path)
    assert main([argument for argument in named if argument not in ("--images", "people")]) == 1
    assert "with --images" in capsys.readouterr().err
    assert main(named) == 0
    shown = capsys.readouterr().out
    assert "25 pictures of 10 people\n" in shown
    assert (
        "fmr_1e-1 is left out: a rate of 0.1 needs 100 pairs of two people, which 15 people give; there are 10" in shown
    )


@pytest.mark.parametrize("kind", NETWORKS)
def test_threshold_and_rates_are_measured_on_the_folder(folder: Path, tmp_path: Path, kind: str) -> None:
    save_one(tmp_path / "old.safetensors", kind)
    assert main(arguments(folder, tmp_path)) == 0
    header = load(tmp_path / "new.safetensors").header
    album = open_album(folder / "people", tmp_path / "cache", header.preprocessing, "largest")
    strangers = sum(a[0] != b[0] for i, a in enumerate(album.keys) for b in album.keys[i + 1 :])
    assert header.false_match_curve
    assert header.false_match_curve.pairs == strangers
    assert header.operating_points == ()
    genuine = sum(a[0] == b[0] for i, a in enumerate(album.keys) for b in album.keys[i + 1 :])
    assert header.threshold.pairs == (genuine + strangers if kind == "residual" else 2 * genuine)
    assert header.threshold.split == header.false_match_curve.split == f"calibration, pictures {album.sha256[:12]}"


def test_list_gives_its_best_threshold_and_drops_old_metrics(folder: Path, tmp_path: Path) -> None:
    save_one(tmp_path / "old.safetensors", "siamese")
    write_list(folder / "both.txt", "both")
    assert main(arguments(folder, tmp_path, "--pairs", "both.txt")) == 0
    new = load(tmp_path / "new.safetensors")
    album = open_album(folder / "people", tmp_path / "cache", new.header.preprocessing)
    pairs = resolve(folder / "both.txt", read_pairs(folder / "both.txt"), album)
    scores, same = score_pairs(restore_calibrated(new), album, pairs)
    shares = [((scores >= threshold) == same).mean() for threshold in (0, *scores)]
    accuracy = [metric for metric in new.header.metrics if metric.name == "accuracy at threshold"]
    assert [(metric.split, metric.pairs) for metric in accuracy] == [("calibration", len(scores))]
    assert accuracy[0].value == ((scores >= new.header.threshold.value) == same).mean() >= max(shares) - 1e-9
    assert OLD[1] in new.header.metrics
    curve = new.header.false_match_curve
    assert curve
    assert (curve.pairs, curve.people) == (45, 10)
    assert new.header.operating_points == ()


def test_faceless_pictures_are_listed_and_the_face_choice_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = draw_faces(tmp_path / "data")
    scene(size=(250, 250)).save(folder / "people" / "Person_7" / "Person_7_0005.png")
    beside = [Placed(person=0, at=(125, 118), inter_eye_px=28), Placed(person=9, at=(55, 60), inter_eye_px=40)]
    scene(*beside, size=(250, 250)).save(folder / "people" / "Person_0" / "Person_0_0001.png")
    save_one(tmp_path / "old.safetensors", "aligned")
    assert main(arguments(folder, tmp_path)) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("left out, because no face large enough was found: Person_7/Person_7_0005\n")
    album = open_album(folder / "people", tmp_path / "cache", ALIGNED, "largest")
    assert load(tmp_path / "new.safetensors").header.threshold.split.endswith(album.sha256[:12])
    assert main(arguments(folder, tmp_path, "--face", "center")) == 0
    nearest = open_album(folder / "people", tmp_path / "cache", ALIGNED, "center")
    assert nearest.sha256 != album.sha256
    assert load(tmp_path / "new.safetensors").header.threshold.split.endswith(nearest.sha256[:12])


def draw_strangers(folder: Path) -> None:
    """One picture each of 30 people."""
    for person in range(30):
        (folder / "people" / f"Person_{person}").mkdir(parents=True)
        (folder / "people" / f"Person_{person}" / "a.png").write_bytes(encode(portrait(person, 1)))


def test_default_threshold_is_that_of_its_first_rate_however_often_it_is_calibrated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_strangers(tmp_path)
    plain = save_one(tmp_path / "plain.safetensors", "residual")
    curve = FalseMatchCurve(thresholds=(0.1, 0.5), rates=(0.4, 0.1), split="held", pairs=900, people=50)
    changed = {
        "network": SMALL_COSINE,
        "preprocessing": plain.header.preprocessing,
        "false_match_curve": curve,
    }
    save(tmp_path / "old.safetensors", restore(plain), describe(threshold=0.3).model_copy(update=changed))
    assert main(arguments(tmp_path, tmp_path)) == 0
    assert re.search(r"so far the default threshold 0.3000 accepts \d+\.\d\d% of strangers", capsys.readouterr().out)
    first = load(tmp_path / "new.safetensors").header.threshold
    assert first.fmr == pytest.approx(0.2)
    (tmp_path / "new.safetensors").rename(tmp_path / "old.safetensors")
    assert main(arguments(tmp_path, tmp_path)) == 0
    assert "now    the default threshold stays" in capsys.readouterr().out
    assert load(tmp_path / "new.safetensors").header.threshold == first


def test_one_picture_each_is_enough_and_what_is_written_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_strangers(tmp_path)
    plain = save_one(tmp_path / "plain.safetensors", "residual")
    point = OperatingPoint(
        name="fmr_1e-2", max_fmr=0.01, threshold=0.0, fmr=0.01, interval=(0, 1), split="held", pairs=900, people=50
    )
    rates = (ConditionRates(condition="dark", false_match_curve=curve()), ConditionRates(condition="drawn"))
    changed = {"network": SMALL_COSINE, "preprocessing": plain.header.preprocessing, "operating_points": (point,),
               "condition_rates": rates}  # fmt: skip
    save(tmp_path / "old.safetensors", restore(plain), describe(threshold=0.01).model_copy(update=changed))
    old = load(tmp_path / "old.safetensors")
    assert main(arguments(tmp_path, tmp_path, "--centre")) == 0
    shown = capsys.readouterr().out
    assert "30 pictures of 30 people\n" in shown
    assert re.search(r"the mean embedding of different people has length 0\.\d\d here; the longer it is", shown)
    assert "so far max_fmr=0.01  accepts 100.00% of strangers on these pictures (95% over people 99." in shown
    assert "scale and bias stay, since 20 genuine pairs are needed and there are 0" in shown
    assert re.search(r"now    max_fmr=0.1   accepts (9|10)\.\d\d% of strangers on these pictures", shown)
    assert "fmr_1e-2 is left out: a rate of 0.01 needs 1,000 pairs of two people, which 46 people give" in shown
    assert "embeddings stored with the old checkpoint stay valid" in shown
    assert "conditions are left out: their rates were measured without this mean" in shown
    header = load(tmp_path / "new.safetensors").header
    assert header.condition_rates == ()
    assert [point.name for point in header.operating_points] == ["fmr_1e-1"]
    assert len(header.calibration.mean) == 16
    assert header.threshold == old.header.threshold


def test_conditions_that_centring_left_out_are_said_to_be_missing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_one(tmp_path / "old.safetensors", "residual")
    assert main(arguments(folder, tmp_path, "--centre")) == 0
    said = "the checkpoint has no conditions, since it was centred before; to have them, calibrate the one that"
    assert said not in capsys.readouterr().out
    (tmp_path / "new.safetensors").rename(tmp_path / "old.safetensors")
    assert main(arguments(folder, tmp_path)) == 0
    assert said in capsys.readouterr().out


def test_copies_under_two_names_are_refused_unless_kept(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_one(tmp_path / "old.safetensors", "residual")
    for pairs in ([], ["--pairs", "both.txt"]):
        write_list(folder / "both.txt", "both")
        named = arguments(folder, tmp_path, *pairs)
        assert main([argument for argument in named if argument != "--keep-alike"]) == 1
        assert "nearly the same under two names" in capsys.readouterr().err
        assert not (tmp_path / "new.safetensors").exists()


def test_second_calibration_replaces_the_first(folder: Path, tmp_path: Path) -> None:
    save_one(tmp_path / "old.safetensors", "siamese")
    write_list(folder / "both.txt", "both")
    assert main(arguments(folder, tmp_path, "--pairs", "both.txt")) == 0
    (tmp_path / "new.safetensors").replace(tmp_path / "old.safetensors")
    assert main(arguments(folder, tmp_path)) == 0
    metrics = load(tmp_path / "new.safetensors").header.metrics
    assert len({(metric.split, metric.name) for metric in metrics}) == len(metrics)


@pytest.mark.parametrize(
    ("people", "wanted"),
    [
        ("one", "at least 20 impostor pairs, and there are 0; add pictures of further people"),
        (
            "two",
            "20 genuine pairs, or enough people for an operating point: there are 0 genuine pairs, and a rate of 0.1 "
            "needs 100 pairs of two people, which 15 people give; there are 10 people in 45 pairs",
        ),
    ],
)
def test_too_few_people_or_pairs_are_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], people: Literal["one", "two"], wanted: str
) -> None:
    save_one(tmp_path / "old.safetensors", "siamese")
    write_list(folder / "kind.txt", people)
    assert main(arguments(folder, tmp_path, "--pairs", "kind.txt")) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line == f"error: calibration needs {wanted}"
    assert not (tmp_path / "new.safetensors").exists()


def test_calibration_does_not_overwrite_its_checkpoint(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_one(tmp_path / "old.safetensors", "siamese")
    before = (tmp_path / "old.safetensors").read_bytes()
    assert main([*arguments(folder, tmp_path), "--out", str(tmp_path / "old.safetensors")]) == 1
    assert "would be written over, and the command reads it" in capsys.readouterr().err
    assert (tmp_path / "old.safetensors").read_bytes() == before
    wanting = [*arguments(folder, tmp_path), "--out", str(tmp_path / "old.safetensors")]
    wanting[1] = str(tmp_path / "none.safetensors")
    assert main(wanting) == 1
    assert capsys.readouterr().err.endswith("none.safetensors: the file does not exist\n")


def test_people_are_sampled_from_large_folders() -> None:
    crowd = {f"Person_{i:03d}": torch.arange(3) for i in range(200)}
    chosen = some_people(crowd, 100)
    assert len(chosen) == 33
    assert chosen.keys() == some_people(crowd, 100).keys() != dict(list(crowd.items())[:33]).keys()
    assert some_people(crowd, 600).keys() == crowd.keys()


def test_people_with_more_pictures_than_fit_have_some_of_them() -> None:
    few = {"A": torch.arange(500), "B": torch.arange(500, 900), "C": torch.arange(900, 902)}
    chosen = some_people(few, 100)
    assert {"A", "B"} <= chosen.keys() or "C" in chosen
    assert len(chosen) >= 2
    for name, pictures in chosen.items():
        assert len(pictures) == min(50, len(few[name]))
        assert set(pictures.tolist()) <= set(few[name].tolist())
        assert pictures.tolist() == sorted(set(pictures.tolist()))
