"""`python -m training calibrate`: new thresholds for the same network, from the user's own pictures."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from model.checkpoint import Checkpoint, load
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.architecture import restore
from model.networks.configurations import ResidualConfig
from model.networks.embedder import save
from model.networks.residual import ResidualNetwork, initialise
from model.similarity import Metric, Threshold
from tests.conftest import describe, tiny_network
from tests.faces import Placed, scene
from tests.training.support.small_faces import draw_faces
from tests.training.support.small_people import PICTURES
from training.__main__ import main
from training.data.lists import read_pairs, resolve
from training.data.source import open_album
from training.fitting import fit_even_odds
from training.learning.experiments import ALIGNED
from training.measuring.recalibration import some_people
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
        initialise(network, torch.Generator().manual_seed(0))
        preprocessing = PreprocessingConfig(side_px=32, crop=0.8, standardised=True)
        changed = {"network": SMALL_COSINE, "preprocessing": preprocessing, "metrics": OLD, "threshold": LOW}
        save(path, network.eval(), describe().model_copy(update=changed))
        return load(path)
    preprocessing = ALIGNED if kind == "aligned" else PreprocessingConfig()
    changed = {"preprocessing": preprocessing, "metrics": OLD, "threshold": LOW}
    save(path, tiny_network(), describe().model_copy(update=changed))
    return load(path)


def arguments(folder: Path, tmp_path: Path, *more: str) -> list[str]:
    return ["calibrate", str(tmp_path / "old.safetensors"), "--data", str(folder), "--images", "people", "--cache",
            str(tmp_path / "cache"), "--device", "cpu", "--out", str(tmp_path / "new.safetensors"), *more]  # fmt: skip


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
    assert main(arguments(folder, tmp_path)) == 0
    new = load(tmp_path / "new.safetensors")
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
    assert " impostor pairs of 10 people; 95% over people\n" in capsys.readouterr().out


@pytest.mark.parametrize("kind", NETWORKS)
def test_threshold_and_rates_are_measured_on_the_folder(folder: Path, tmp_path: Path, kind: str) -> None:
    save_one(tmp_path / "old.safetensors", kind)
    assert main(arguments(folder, tmp_path)) == 0
    header = load(tmp_path / "new.safetensors").header
    album = open_album(folder / "people", tmp_path / "cache", header.preprocessing, "largest")
    strangers = sum(a[0] != b[0] for i, a in enumerate(album.keys) for b in album.keys[i + 1 :])
    assert header.false_match_curve
    assert header.false_match_curve.pairs == strangers
    assert [(point.pairs, point.people) for point in header.operating_points] == [(strangers, 10)] * 2
    genuine = sum(a[0] == b[0] for i, a in enumerate(album.keys) for b in album.keys[i + 1 :])
    assert header.threshold.pairs == (genuine + strangers if kind == "residual" else 2 * genuine)
    assert header.threshold.split == header.operating_points[0].split == f"calibration, pictures {album.sha256[:12]}"


def test_list_gives_its_best_threshold_and_drops_old_metrics(folder: Path, tmp_path: Path) -> None:
    save_one(tmp_path / "old.safetensors", "siamese")
    write_list(folder / "both.txt", "both")
    assert main(arguments(folder, tmp_path, "--pairs", "both.txt")) == 0
    new = load(tmp_path / "new.safetensors")
    album = open_album(folder / "people", tmp_path / "cache", new.header.preprocessing)
    pairs = resolve(folder / "both.txt", read_pairs(folder / "both.txt"), album)
    scores, same = score_pairs(restore(new), album, pairs)
    shares = [((scores >= threshold) == same).mean() for threshold in (0, *scores)]
    accuracy = [metric for metric in new.header.metrics if metric.name == "accuracy at threshold"]
    assert [(metric.split, metric.pairs) for metric in accuracy] == [("calibration", len(scores))]
    assert accuracy[0].value == ((scores >= new.header.threshold.value) == same).mean() >= max(shares) - 1e-9
    assert OLD[1] in new.header.metrics
    point = new.header.operating_points[0]
    assert (point.pairs, point.people) == (45, 10)
    assert point.fmr == (scores[~same] >= point.threshold).mean() <= 0.1


@pytest.mark.parametrize("genuine", [40, 400])
def test_calibrated_network_decides_at_even_odds(genuine: int) -> None:
    """Logits with means 2 and -1 and deviation 1 are equally likely at 0.5, however many there are of each kind."""
    draws = np.random.default_rng(1)
    logits = np.concatenate([draws.normal(2, 1, genuine), draws.normal(-1, 1, 400)])
    same = np.arange(len(logits)) < genuine
    network = ResidualNetwork(ResidualConfig(head="joint-bayesian"))
    found = fit_even_odds(network, 1 / (1 + np.exp(-logits)), same)
    assert np.log(found.value / (1 - found.value)) == pytest.approx(0.5, abs=0.25)
    assert (found.pairs, found.method) == (len(logits), "even odds, by Platt's sigmoid")
    turned = fit_even_odds(network, 1 / (1 + np.exp(logits)), same)
    assert turned.method == "highest accuracy"


def test_even_odds_are_at_most_the_similarity_of_identical_pictures() -> None:
    """Logits around 5 and 2 are equally likely at 3.5; two identical pictures have a logit of 1."""
    logits = np.array([4.0, 5, 6, 1, 2, 3] * 5)
    network = ResidualNetwork(SMALL_COSINE)
    found = fit_even_odds(network, 1 / (1 + np.exp(-logits)), logits > 3.5)
    assert found.method == "even odds, by Platt's sigmoid"
    assert found.value == pytest.approx(1 / (1 + np.exp(-1)), abs=1e-5)


def test_even_odds_of_extreme_or_uninformative_similarities_are_valid() -> None:
    network = ResidualNetwork(SMALL_COSINE)
    sure = np.repeat([0.0, 1.0], 10)
    assert fit_even_odds(network, sure, sure > 0.5).value == pytest.approx(0.5, abs=1e-4)
    logits = np.array([1 + 1e-6, -1, 1, -1, 1, -1])
    nothing = fit_even_odds(network, 1 / (1 + np.exp(-logits)), np.arange(6) < 2)
    assert nothing.method == "even odds, by Platt's sigmoid"
    assert nothing.value == pytest.approx(0.5, abs=1e-4)


def test_even_odds_do_not_depend_on_the_balance_of_pairs() -> None:
    """Logits around 1 and -1 with deviation 1 are equally likely at 0, even with Platt's softened labels."""
    network = ResidualNetwork(ResidualConfig(head="joint-bayesian"))
    found = []
    for seed in range(40):
        draws = np.random.default_rng(seed)
        logits = np.concatenate([draws.normal(1, 1, 20), draws.normal(-1, 1, 2000)])
        found.append(fit_even_odds(network, 1 / (1 + np.exp(-logits)), np.arange(2020) < 20).value)
    assert np.mean(found) == pytest.approx(0.5, abs=0.03)


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


def test_second_calibration_replaces_the_first(folder: Path, tmp_path: Path) -> None:
    save_one(tmp_path / "old.safetensors", "siamese")
    write_list(folder / "both.txt", "both")
    assert main(arguments(folder, tmp_path, "--pairs", "both.txt")) == 0
    (tmp_path / "new.safetensors").replace(tmp_path / "old.safetensors")
    assert main(arguments(folder, tmp_path)) == 0
    metrics = load(tmp_path / "new.safetensors").header.metrics
    assert len({(metric.split, metric.name) for metric in metrics}) == len(metrics)


@pytest.mark.parametrize(("people", "there"), [("one", "27 and 0"), ("two", "0 and 45")])
def test_pairs_of_one_kind_are_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], people: Literal["one", "two"], there: str
) -> None:
    save_one(tmp_path / "old.safetensors", "siamese")
    write_list(folder / "kind.txt", people)
    assert main(arguments(folder, tmp_path, "--pairs", "kind.txt")) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line == f"error: calibration needs at least 20 genuine and 20 impostor pairs; there are {there}"
    assert not (tmp_path / "new.safetensors").exists()


@pytest.mark.parametrize(("of", "pairs"), [("Person_0", None), ("Person_0", "both.txt"), ("Person_2", None)])
def test_identical_pictures_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], of: str, pairs: str | None
) -> None:
    folder = draw_faces(tmp_path / "data")
    write_list(folder / "both.txt", "both")
    (folder / "people" / "Person_2" / "Person_2_0001.png").write_bytes(
        (folder / "people" / of / f"{of}_0002.png").read_bytes()
    )
    save_one(tmp_path / "old.safetensors", "siamese")
    assert main(arguments(folder, tmp_path, *(["--pairs", pairs] if pairs else []))) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: some pictures are identical; keep one of each: ")
    assert f"{of}/{of}_0002" in line
    assert "Person_2/Person_2_0001" in line


def test_too_few_pairs_are_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_one(tmp_path / "old.safetensors", "siamese")
    assert main(arguments(folder, tmp_path, "--pairs", "test.txt")) == 1
    assert capsys.readouterr().err.splitlines()[-1].endswith("20 genuine and 20 impostor pairs; there are 2 and 2")


def test_calibration_does_not_overwrite_its_checkpoint(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_one(tmp_path / "old.safetensors", "siamese")
    before = (tmp_path / "old.safetensors").read_bytes()
    assert main([*arguments(folder, tmp_path), "--out", str(tmp_path / "old.safetensors")]) == 1
    assert "is the checkpoint itself" in capsys.readouterr().err
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
