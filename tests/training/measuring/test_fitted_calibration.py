"""What is fitted on embeddings of known people: calibration, thresholds, and what the former thresholds do."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.averaging import scale_parts
from model.checkpoint import Checkpoint, load
from model.conditions import ConditionRates
from model.errors import DataError
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.architecture import restore
from model.networks.configurations import ResidualConfig
from model.networks.embedder import save
from model.networks.residual import ResidualNetwork, initialise
from model.similarity import Calibration, FalseMatchCurve, Metric, OperatingPoint, Threshold, similarity
from tests.conftest import describe, tiny_network
from tests.training.measuring.test_recalibration import SMALL_COSINE
from training import metrics
from training.data.album import PairSet
from training.data.datasets import HoldOut, balanced_pairs
from training.measuring.recalibration import Recalibration, recalibrated
from training.measuring.samples import Sample, mean_length
from training.statistics import calibration, similar_people
from training.statistics.operating_points import lowest_threshold
from training.statistics.rates import area_under_roc

CURVE = FalseMatchCurve(thresholds=(0.4, 0.5, 0.6), rates=(1.0, 0.12, 0.001), split="held out", pairs=1000, people=50)
LOW = OperatingPoint(
    name="fmr_1e-1", max_fmr=0.1, threshold=0.55, fmr=0.1, interval=(0.09, 0.11), split="held out", pairs=900, people=50
)
FORMER = (
    Metric(name=metrics.ACCURACY_AT_HALF, split="test", value=0.9, pairs=1000),
    Metric(name=metrics.ACCURACY_AT_THRESHOLD, split="test", value=0.9, pairs=1000),
    Metric(name=metrics.AREA, split="test", value=0.95, pairs=1000),
)


def checkpoint(folder: Path, **changes: object) -> Checkpoint:
    """A network whose head is the cosine of its 16 values, with a curve, an operating point and metrics."""
    network = ResidualNetwork(SMALL_COSINE)
    initialise(network, torch.Generator().manual_seed(0))
    preprocessing = PreprocessingConfig(side_px=32, crop=0.8, standardised=True)
    stored = {"network": SMALL_COSINE, "preprocessing": preprocessing, "false_match_curve": CURVE, "metrics": FORMER,
              "operating_points": (LOW,), **changes}  # fmt: skip
    save(folder / "old.safetensors", network.eval(), describe().model_copy(update=stored))
    return load(folder / "old.safetensors")


def draw_sample(people: int, pictures: int = 1, shared: float = 0.0, within: float = 0.6, seed: int = 0) -> Sample:
    """People around random directions; `shared` is the length of a direction that all pictures have in common."""
    draws = np.random.default_rng(seed)
    owner = np.repeat(np.arange(people), pictures)
    rows = draws.normal(size=(people, 16))[owner] + within * draws.normal(size=(len(owner), 16))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[:, 0] += shared
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    places = dict(zip(map(str, range(100, 100 + people)), torch.arange(len(owner)).split(pictures), strict=True))
    pairs = balanced_pairs(places, HoldOut())
    return Sample(embeddings=rows.astype(np.float32), owner=torch.from_numpy(owner), pairs=pairs, every=True)


def fit(old: Checkpoint, sample: Sample, *, centre: bool = False) -> Recalibration:
    return recalibrated(old, restore(old), sample, "ab" * 32, "code", centre=centre)


def impostor_similarities(sample: Sample, fitted: Calibration) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    rows, owner = fitted.centre(sample.embeddings).astype(float), sample.owner.numpy()
    cosines, strangers = rows @ rows.T, owner[:, None] < owner
    return similarity(fitted.adjust(cosines[strangers]))


def test_one_picture_each_of_fifty_people_sets_thresholds(tmp_path: Path) -> None:
    old, sample = checkpoint(tmp_path), draw_sample(50)
    found = fit(old, sample)
    scores = impostor_similarities(sample, Calibration())
    assert [point.name for point in found.description.operating_points] == ["fmr_1e-1", "fmr_1e-2"]
    for point in found.description.operating_points:
        assert point.fmr == pytest.approx((scores >= point.threshold).mean(), abs=1e-3)
        assert 0.8 * point.max_fmr < point.fmr <= point.max_fmr
        assert (point.pairs, point.people, point.split) == (1225, 50, "calibration, pictures abababababab")
    assert not found.refitted
    assert found.description.calibration == Calibration(made_on="50 people, 50 pictures, SHA-256 abababababab")
    threshold = found.description.threshold
    assert (scores >= threshold.value).mean() == pytest.approx(0.12, abs=1e-3)
    assert (threshold.method, threshold.pairs) == ("the false match rate of the former threshold, 12.00%", 1225)
    others = draw_sample(200, seed=1)
    assert (impostor_similarities(others, Calibration()) >= threshold.value).mean() == pytest.approx(0.12, abs=0.03)


def test_points_without_enough_people_are_refused_with_what_they_need(tmp_path: Path) -> None:
    found = fit(checkpoint(tmp_path), draw_sample(50))
    assert found.refused == {
        "fmr_1e-3": "a rate of 0.001 needs 10,000 pairs of two people, which 142 people give; there are 50 people in "
        "1,225 pairs"
    }
    many = fit(checkpoint(tmp_path), draw_sample(8, pictures=6))
    assert many.description.operating_points == ()
    assert set(many.refused) == {"fmr_1e-1", "fmr_1e-2", "fmr_1e-3"}


def test_threshold_stays_if_the_former_rate_is_unknown_or_too_low(tmp_path: Path) -> None:
    given = Threshold(value=0.599, method="given", split="none", pairs=0)
    for changes in ({"false_match_curve": None}, {"threshold": given}):
        old = checkpoint(tmp_path, **changes)
        assert fit(old, draw_sample(40)).description.threshold == old.header.threshold


def test_genuine_pairs_make_the_similarity_a_probability(tmp_path: Path) -> None:
    old, sample = checkpoint(tmp_path), draw_sample(150, pictures=3, shared=0.5)
    found = fit(old, sample)
    assert found.refitted
    fitted = found.description.calibration
    assert fitted.mean == ()
    assert (found.description.threshold.value, found.description.threshold.method) == (0.5, "even odds")
    assert found.description.threshold.pairs == 150 * 3 + 150 * 149 // 2 * 9
    others = draw_sample(150, pictures=3, shared=0.5, seed=1)
    scored = others.score(restore(old), fitted)
    genuine = scored.logits[scored.same]
    every = fitted.adjust(np.concatenate([genuine, scored.impostor]))
    scale, bias = calibration.platt(every, np.arange(len(every)) < len(genuine))
    assert scale == pytest.approx(1, abs=0.15)
    assert bias == pytest.approx(0, abs=0.3)
    before, _ = calibration.platt(np.concatenate([genuine, scored.impostor]), np.arange(len(every)) < len(genuine))
    assert before > 2


def test_refit_does_not_depend_on_the_balance_of_pairs(tmp_path: Path) -> None:
    """Logits are equally likely where they were, however many pairs of each kind there are."""
    old, crossings = checkpoint(tmp_path), []
    for people, pictures in ((20, 2), (80, 2), (40, 5)):
        fitted = fit(old, draw_sample(people, pictures=pictures)).description.calibration
        crossings.append(-fitted.bias / fitted.scale)
    assert np.ptp(crossings) < 0.06


def test_centring_removes_what_the_pictures_share(tmp_path: Path) -> None:
    old, sample = checkpoint(tmp_path), draw_sample(60, pictures=2, shared=1.5)
    plain, centred = fit(old, sample), fit(old, sample, centre=True)
    others = draw_sample(100, pictures=2, shared=1.5, seed=1)
    areas = []
    for found in (plain, centred):
        scored = others.score(restore(old), found.description.calibration)
        areas.append(area_under_roc(scored.logits, scored.same))
    assert areas[1] > areas[0] + 0.01
    mean = centred.description.calibration.mean
    assert len(mean) == 16
    assert np.allclose(mean, sample.embeddings.mean(0), atol=1e-6)
    assert plain.description.calibration.mean == ()


def test_thresholds_of_centred_pictures_hold_on_other_people(tmp_path: Path) -> None:
    """A mean takes away some of each picture in it, so that these pictures alone would give too low a threshold."""
    old, rates, naive = checkpoint(tmp_path), [], []
    for seed in range(20):
        sample, others = draw_sample(50, shared=1.0, seed=seed), draw_sample(150, shared=1.0, seed=100 + seed)
        found = fit(old, sample, centre=True).description
        point = next(point for point in found.operating_points if point.name == "fmr_1e-1")
        rates.append((impostor_similarities(others, found.calibration) >= point.threshold).mean())
        own = lowest_threshold(impostor_similarities(sample, found.calibration), 0.1) or 1.0
        naive.append((impostor_similarities(others, found.calibration) >= own).mean())
    assert np.mean(rates) == pytest.approx(0.1, abs=0.015)
    assert np.mean(naive) > 0.115


def test_centring_needs_three_people() -> None:
    with pytest.raises(DataError, match="centring needs at least 3 people; there are 2"):
        draw_sample(2, pictures=5).score_without_own_mean(ResidualNetwork(SMALL_COSINE), (16,))


def test_every_person_counts_once_in_the_mean(tmp_path: Path) -> None:
    sample = draw_sample(30)
    again = [*range(30), *[0] * 9]
    repeated = Sample(embeddings=sample.embeddings[again], owner=sample.owner[again], pairs=sample.pairs, every=True)
    means = [fit(checkpoint(tmp_path), each, centre=True).description.calibration.mean for each in (sample, repeated)]
    assert np.allclose(means[0], means[1], atol=1e-6)


def test_length_of_the_mean_does_not_depend_on_how_many_pictures_there_are() -> None:
    for shared, expected in ((0.0, 0.0), (1.0, 0.72), (3.0, 0.95)):
        for people, pictures in ((30, 1), (300, 1), (30, 10)):
            sample = draw_sample(people, pictures=pictures, shared=shared, seed=2)
            assert mean_length(sample.embeddings, sample.owner) == pytest.approx(expected, abs=0.09)


def test_points_have_the_rate_over_most_similar_strangers(tmp_path: Path) -> None:
    sample = draw_sample(50, pictures=4)
    found = fit(checkpoint(tmp_path), sample).description
    rows = sample.embeddings.astype(float)
    logits = found.calibration.adjust(rows @ rows.T).astype(np.float32)
    thresholds = [point.threshold for point in found.operating_points]
    wanted = similar_people.similar_strangers(logits, sample.owner.numpy(), thresholds)
    assert wanted
    for point, rate in zip(found.operating_points, wanted, strict=True):
        assert point.fmr_of_similar == pytest.approx(rate.value, abs=2e-3)
        assert point.interval_of_similar == pytest.approx((rate.low, rate.high), abs=5e-3)
        assert rate.value > point.fmr
    (one, *_) = fit(checkpoint(tmp_path), draw_sample(50)).description.operating_points
    assert one.fmr_of_similar is None


THUMBNAILS = ResidualConfig(
    side_px=32,
    view_px=16,
    channels=(4, 4, 6, 8),
    dimension=16,
    input_channels=3,
    thumbnail_cells=8,
    thumbnail_values=8,
    flip_average=False,
)


def test_rates_of_alike_pictures_are_measured_again_where_many_are(tmp_path: Path) -> None:
    """Otherwise what a calibration sets right for one camera would stay undecided by another data set's rates."""
    network = ResidualNetwork(THUMBNAILS)
    initialise(network, torch.Generator().manual_seed(0))
    alike = ConditionRates(condition="alike", likeness=0.45, false_match_curve=CURVE)
    other = ConditionRates(condition="blurred", false_match_curve=CURVE)
    stored = {"network": THUMBNAILS, "false_match_curve": CURVE, "operating_points": (LOW,),
              "preprocessing": PreprocessingConfig(side_px=32, crop=0.8, colour="rgb", standardised=True),
              "condition_rates": (alike, other)}  # fmt: skip
    save(tmp_path / "old.safetensors", network.eval(), describe().model_copy(update=stored))
    old = load(tmp_path / "old.safetensors")
    measured = []
    for shared in (0.0, 4.0):
        drawn = draw_sample(40)
        rows = drawn.embeddings.astype(np.float64)
        rows[:, 8] += shared  # the thumbnails have that in common
        scale_parts(rows, (8, 8))
        sample = replace(drawn, embeddings=rows.astype(np.float32))
        table = 2 * rows[:, 8:] @ rows[:, 8:].T
        measured.append(int((table[np.triu_indices(40, 1)] >= 0.45).sum()))
        found = {each.condition: each for each in fit(old, sample).description.condition_rates}
        assert found["blurred"] == other
        assert found["alike"].likeness == 0.45
        assert found["alike"].false_match_curve
        if measured[-1] < 100:
            assert found["alike"] == alike
        else:
            assert found["alike"].false_match_curve.pairs == measured[-1]
    assert measured[0] < 100 < measured[1]


def test_threshold_that_accepts_everybody_stays(tmp_path: Path) -> None:
    lenient = Threshold(value=0.01, method="mine", split="none", pairs=0)
    found = fit(checkpoint(tmp_path, threshold=lenient), draw_sample(40)).description
    assert found.threshold == lenient


def test_former_points_are_measured_as_the_old_checkpoint_compares(tmp_path: Path) -> None:
    earlier = Calibration(scale=2.0, bias=-0.3)
    old, sample = checkpoint(tmp_path, calibration=earlier), draw_sample(50, shared=0.8)
    found = fit(old, sample, centre=True)
    (former,) = found.former
    accepted = impostor_similarities(sample, earlier) >= LOW.threshold
    assert (former.name, former.threshold, former.pairs, former.people) == ("fmr_1e-1", 0.55, 1225, 50)
    assert former.fmr == pytest.approx(accepted.mean(), abs=1e-3)
    assert former.interval[0] < former.fmr < former.interval[1]


def test_calibrating_again_gives_the_same_as_calibrating_once(tmp_path: Path) -> None:
    sample = draw_sample(40, pictures=3, shared=0.7)
    once = fit(checkpoint(tmp_path), sample).description
    again = fit(
        checkpoint(tmp_path, calibration=Calibration(mean=(0.1,) * 16, scale=3.0, bias=1.0)), sample
    ).description
    assert (again.calibration, again.threshold) == (once.calibration, once.threshold)
    assert again.operating_points == once.operating_points


@pytest.mark.parametrize(
    ("pictures", "centre", "kept"),
    [(1, False, [metrics.ACCURACY_AT_HALF, metrics.AREA]), (3, False, [metrics.AREA]), (3, True, []), (1, True, [])],
)
def test_only_metrics_that_still_hold_are_kept(
    tmp_path: Path, pictures: int, centre: bool, kept: Sequence[str]
) -> None:
    found = fit(checkpoint(tmp_path), draw_sample(40, pictures=pictures), centre=centre).description
    assert [metric.name for metric in found.metrics if metric.split == "test"] == kept
    assert bool([metric for metric in found.metrics if metric.split == "calibration"]) == (pictures > 1)


def test_names_that_contradict_the_pictures_are_refused(tmp_path: Path) -> None:
    """Two pictures of each person, every second one under the next person's name."""
    sample = draw_sample(40, pictures=2, within=0.1)
    moved = torch.where(torch.arange(80) % 2 == 0, sample.owner, sample.owner.roll(2))
    pairs = PairSet(left=torch.arange(0, 80, 2), right=torch.arange(0, 80, 2).add(3) % 80, same=torch.ones(40))
    with pytest.raises(DataError, match="score no higher than the impostor pairs; check that each folder has"):
        fit(checkpoint(tmp_path), Sample(embeddings=sample.embeddings, owner=moved, pairs=pairs, every=True))


def test_network_without_unit_length_cannot_be_centred(tmp_path: Path) -> None:
    save(tmp_path / "siamese.safetensors", tiny_network(), describe())
    with pytest.raises(DataError, match="leave out --centre"):
        fit(load(tmp_path / "siamese.safetensors"), wide(draw_sample(30)), centre=True)


def test_network_that_learned_from_pairs_keeps_its_scale(tmp_path: Path) -> None:
    save(tmp_path / "siamese.safetensors", tiny_network(), describe())
    found = fit(load(tmp_path / "siamese.safetensors"), wide(draw_sample(30, pictures=3)))
    assert (found.refitted, found.length) == (False, None)
    assert found.description.calibration == Calibration(made_on="30 people, 90 pictures, SHA-256 abababababab")
    assert found.description.threshold.method == "highest accuracy"


def wide(sample: Sample) -> Sample:
    """With 32 values, which the tiny Siamese network has."""
    rows = np.concatenate([sample.embeddings, sample.embeddings], axis=1)
    return Sample(embeddings=rows, owner=sample.owner, pairs=sample.pairs, every=True)


@pytest.mark.parametrize("changes", [{"people": 14}, {"people": 7, "pictures": 2}])
def test_too_few_people_and_genuine_pairs_are_refused(tmp_path: Path, changes: Mapping[str, int]) -> None:
    wanted = (
        "needs 20 genuine pairs, .* there are [07] genuine pairs, and a rate of 0.1 needs .* 15 people give; there are"
    )
    with pytest.raises(DataError, match=wanted):
        fit(checkpoint(tmp_path), draw_sample(**changes))
