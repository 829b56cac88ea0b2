"""What a finished run writes: its checkpoint, its threshold from validation pairs alone, its figures and scores."""

import csv
import json
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from model.checkpoint import ChangedValue, Changes, Header, load
from model.imaging.canary import canary_sha256
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.architecture import restore
from model.networks.heads import similarity
from model.similarity import Calibration, OperatingPoint
from tests.conftest import tiny_network
from tests.training.support.small_pairs import CPU
from tests.training.support.small_runs import ROW
from training.data.album import Album, PairSet
from training.data.datasets import PairData, split
from training.data.preparation import open_album
from training.fitting import choose_threshold
from training.learning.experiments import SMOKE
from training.learning.history import METRICS_FILE, write_metrics
from training.learning.loop import Trained
from training.metrics import format_metrics
from training.runs.card import format_card
from training.runs.finish import finish
from training.runs.results import read_run
from training.scoring import score_pairs
from training.statistics.rates import Tallies, accuracy, best_threshold, cross_entropy
from training.statistics.resampling import bootstrap
from training.statistics.summary import measure

FIGURES = ["accuracy at 0.5", "accuracy at threshold", "area under ROC", "EER", "FNMR at FMR 1%", "cross-entropy",
           "squared error"]  # fmt: skip
WITH_INTERVAL = FIGURES[:5]


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What `finish` gave and wrote, and what it was given."""

    header: Header
    folder: Path
    data: PairData
    test: PairSet


@pytest.fixture(scope="module")
def album(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Album:
    return open_album(people / "people", tmp_path_factory.mktemp("cache"), PreprocessingConfig())


@pytest.fixture(scope="module")
def pairs(album: Album) -> PairSet:
    """All pairs of one person that there are, and as many of two, mixed."""
    every = list(combinations(range(len(album.keys)), 2))
    same = [pair for pair in every if album.keys[pair[0]][0] == album.keys[pair[1]][0]]
    chosen = torch.tensor(same + [pair for pair in every if pair not in same][:: len(every) // len(same)])
    labels = (torch.arange(len(chosen)) < len(same)).float()
    return PairSet(left=chosen[:, 0], right=chosen[:, 1], same=labels)


def finished(album: Album, validation: PairSet, test: PairSet | None, folder: Path) -> Header:
    data = PairData(album=album, training=validation, validation=validation)
    recipe = SMOKE.recipe(data, CPU)
    recipe.network.load_state_dict(tiny_network().state_dict())
    trained = Trained(recipe=recipe, epoch=2, history=[], code_version="began-with", torch_versions=("2.1", "2.2"))
    return finish(SMOKE, trained, data, test, folder, "the-code")


@pytest.fixture(scope="module")
def result(album: Album, pairs: PairSet, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("run")
    validation, test = split(pairs, 0.5, 1)
    header = finished(album, validation, test, folder)
    data = PairData(album=album, training=validation, validation=validation)
    return Finished(header=header, folder=folder, data=data, test=test)


def test_checkpoint_has_the_measured_values(result: Finished) -> None:
    checkpoint = load(result.folder / "smoke.safetensors")
    assert checkpoint.header == result.header
    assert checkpoint.header.canary_photo_sha256 == canary_sha256(SMOKE.preprocessing)
    for split_name, pairs in (("validation", result.data.validation), ("test", result.test)):
        scores, same = score_pairs(restore(checkpoint), result.data.album, pairs)
        again = measure(split_name, scores, same, result.header.threshold.value).for_checkpoint(calibrated=False)
        assert list(again) == [metric for metric in result.header.metrics if metric.split == split_name]


def test_metrics_have_numbers_of_pairs_and_intervals(result: Finished) -> None:
    for split_name, pairs in (("validation", result.data.validation), ("test", result.test)):
        metrics = [metric for metric in result.header.metrics if metric.split == split_name]
        assert [metric.name for metric in metrics] == FIGURES
        for metric in metrics:
            assert metric.pairs == len(pairs)
            assert (metric.interval is not None) == (metric.name in WITH_INTERVAL)
            if metric.interval:
                assert metric.interval[0] <= metric.value <= metric.interval[1]


def test_metrics_equal_those_of_an_evaluation() -> None:
    draws = np.random.default_rng(0)
    same = np.arange(40) % 2 == 0
    scores = draws.random(40) * 0.7 + 0.3 * same
    found = {metric.name: metric for metric in measure("test", scores, same, 0.6).over_pairs}
    for name, expected in (
        ("accuracy at 0.5", accuracy(scores, same, 0.5)),
        ("accuracy at threshold", accuracy(scores, same, 0.6)),
        ("area under ROC", bootstrap({"area": Tallies.area_under_roc}, scores, same)["area"]),
    ):
        assert (found[name].value, found[name].interval) == (expected.value, (expected.low, expected.high))
    assert found["accuracy at 0.5"].value != found["accuracy at threshold"].value
    assert found["cross-entropy"].value == cross_entropy(scores, same)


def test_the_threshold_comes_from_the_validation_pairs(result: Finished) -> None:
    checkpoint = load(result.folder / "smoke.safetensors")
    scores, same = score_pairs(restore(checkpoint), result.data.album, result.data.validation)
    threshold = result.header.threshold
    identical = float(similarity(torch.from_numpy(checkpoint.tensors["comparison.bias"])))
    assert threshold.value == best_threshold(scores, same, identical)
    assert (threshold.method, threshold.split) == ("highest accuracy", "validation")
    assert threshold.pairs == len(result.data.validation)


def test_test_pairs_do_not_change_threshold_or_weights(result: Finished, tmp_path: Path) -> None:
    """Not even test pairs with every label turned round."""
    turned = replace(result.test, same=1 - result.test.same)
    other = finished(result.data.album, result.data.validation, turned, tmp_path)
    assert other.threshold == result.header.threshold
    assert other.embedding_sha256 == result.header.embedding_sha256
    assert other.metrics[:7] == result.header.metrics[:7]
    assert other.metrics[7:] != result.header.metrics[7:]


def test_without_test_pairs_only_validation_is_reported(result: Finished, tmp_path: Path) -> None:
    for name in ("test-scores.csv", "test-summary.json"):
        (tmp_path / name).write_text("of an earlier end of the run")
    header = finished(result.data.album, result.data.validation, None, tmp_path)
    assert {metric.split for metric in header.metrics} == {"validation"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["result.json", "smoke.md", "smoke.safetensors"]


def test_identical_pictures_reach_the_threshold() -> None:
    network = tiny_network()
    with torch.no_grad():
        network.comparison.bias.fill_(-1.0)
    scores, same = np.array([0.6, 0.7, 0.8, 0.9]), np.array([False, False, True, True])
    threshold = choose_threshold(network, scores, same)
    assert threshold.value == float(similarity(torch.tensor(-1.0)))
    assert threshold.value < best_threshold(scores, same)


def test_scores_file_has_a_row_for_each_test_pair(result: Finished) -> None:
    network = restore(load(result.folder / "smoke.safetensors"))
    scores, same = score_pairs(network, result.data.album, result.test)
    keys = result.data.album.keys
    expected = [
        ["/".join(keys[left]), "/".join(keys[right]), str(int(label)), float(score)]
        for left, right, label, score in zip(
            result.test.left.tolist(), result.test.right.tolist(), same, scores, strict=True
        )
    ]
    with (result.folder / "test-scores.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["left", "right", "same", "similarity"]
    assert [[*row[:3], float(row[3])] for row in rows] == expected


def test_the_summary_of_the_test_pairs_is_stored(result: Finished) -> None:
    """Runs that ended before it was stored are measured when they are read, with the same result."""
    write_metrics(result.folder / METRICS_FILE, [ROW])
    run = read_run(result.folder)
    assert run.stored
    assert run.summary == run.stored == replace(run, stored=None).summary
    assert {metric.pairs for metric in run.stored.over_people} == {len(result.test)}
    tested = [metric for metric in result.header.metrics if metric.split == "test"]
    assert list(run.stored.for_checkpoint(calibrated=False)) == tested


def test_provenance_is_recorded(result: Finished) -> None:
    provenance = result.header.provenance
    assert (provenance.epochs, provenance.seed, provenance.code_version) == (2, SMOKE.seed, "began-with")
    assert provenance.measured_with == "the-code"
    assert provenance.pairs_sha256 == result.data.pairs_sha256
    assert provenance.validation_pairs_sharing_people == len(result.data.validation)
    assert provenance.data_sha256 == result.data.album.sha256
    assert provenance.torch_version == "2.1, 2.2"
    assert provenance.threads == torch.get_num_threads()
    assert f"- CPU threads: `{provenance.threads}`" in (result.folder / "smoke.md").read_text()
    experiment = json.loads(provenance.experiment)
    assert (experiment["name"], experiment["batch_pairs"], experiment["split_seed"]) == ("smoke", 16, 0)


def test_changes_and_all_versions_are_in_the_card(result: Finished) -> None:
    changes = Changes(experiment="smoke", values=(ChangedValue(field="epochs", named="2", value="3"),))
    provenance = result.header.provenance.model_copy(update={"changes": changes, "resumed_with": ("then", "later")})
    card = format_card(result.header.model_copy(update={"provenance": provenance}))
    assert "- changed from a named experiment: `smoke with epochs 3 (not 2)`" in card
    assert "- code that the run began with: `began-with`\n- code that went on with the run: `then, later`" in card
    assert "- torch: `2.1, 2.2`" in card
    plain = format_card(result.header)
    assert "changed from" not in plain
    assert "went on" not in plain


def test_card_says_which_photographs_the_rates_hold_for(result: Finished) -> None:
    plain = format_card(result.header)
    assert "Thresholds and rates hold for photographs like the training data's; calibrate with your own" in plain
    assert "calibrated on" not in plain
    point = OperatingPoint(
        name="fmr_1e-2", max_fmr=0.01, threshold=0.9, fmr=0.01, interval=(0.008, 0.012), split="held", pairs=900,
        people=50,
    )  # fmt: skip
    similar = point.model_copy(update={"fmr_of_similar": 0.0767, "interval_of_similar": (0.06, 0.09)})
    mine = Calibration(mean=(0.1,), scale=2.0, bias=-0.5, made_on="50 people, 50 pictures")
    card = format_card(result.header.model_copy(update={"calibration": mine, "operating_points": (point, similar)}))
    assert "hold for photographs like those of the calibration (50 people, 50 pictures)." in card
    assert "- calibration: `a mean embedding is subtracted, scale 2.0000, bias -0.5000`" in card
    assert "- calibrated on: `50 people, 50 pictures`" in card
    assert "| fmr_1e-2 | 7.67% | 6.00% to 9.00% |" in card
    assert card.count("| fmr_1e-2 |") == 3
    assert "most similar" not in plain


def test_card_and_result_repeat_the_header(result: Finished) -> None:
    assert Header.model_validate_json((result.folder / "result.json").read_text()) == result.header
    card = (result.folder / "smoke.md").read_text()
    assert card == format_card(result.header)
    lines = format_metrics(result.header.metrics).splitlines()
    for metric, line in zip(result.header.metrics, lines, strict=True):
        assert f"| {metric.split} | {metric.name} | {metric.value:.4f} |" in card
        assert f"{metric.name:<22} {metric.value:.4f}" in line
        assert line.endswith(f"n={metric.pairs}")
