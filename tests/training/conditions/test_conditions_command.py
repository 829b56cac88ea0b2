"""`python -m training conditions` on drawn people: the new checkpoint, and what it then decides."""

from pathlib import Path

import numpy as np
import pytest

from model.checkpoint import Checkpoint, load
from model.conditions import ConditionRates, decide_for_pair, shared_conditions
from model.imaging import analysis, decoding, detection
from tests.model.test_similarity import curve
from tests.training.support.small_conditions import drawn_data, drawn_source, trained_checkpoint
from tests.training.support.small_pairs import CPU
from training.__main__ import main
from training.conditions import condition_rates, fitting
from training.conditions.of_pairs import least_similarities
from training.data.change import encode, generator_for
from training.data.changes import CHANGES
from training.data.datasets import PeopleData
from training.data.source import DataSource
from training.measuring.shared_changes import measure_shared_changes

GLASSES, DARK, SKETCH = (
    next(each for each in CHANGES if each.name == name) for name in ("dark glasses", "dark", "sketch")
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> DataSource:
    return drawn_source(tmp_path_factory.mktemp("faces"))


@pytest.fixture(scope="module")
def data(source: DataSource) -> PeopleData:
    return drawn_data(source)


@pytest.fixture(scope="module")
def plain(source: DataSource, data: PeopleData) -> Path:
    return trained_checkpoint(source, data)


@pytest.fixture(scope="module")
def fitted(source: DataSource, plain: Path) -> Checkpoint:
    """The checkpoint with conditions of three changes."""
    out = source.folder / "run" / "conditions.safetensors"
    arguments = ["conditions", str(plain), "--out", str(out), "--data", str(source.folder), "--images", "people",
                 "--cache", str(source.cache), "--train-people", "people.txt", "--device", "cpu"]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(condition_rates, "MIN_PICTURES", 2)
        patch.setattr(fitting, "CHANGES", (GLASSES, DARK, SKETCH))
        assert main(arguments) == 0
    return load(out)


def test_only_conditions_are_added(plain: Path, fitted: Checkpoint) -> None:
    before, after = load(plain).header, fitted.header
    assert after.embedding_sha256 == before.embedding_sha256
    assert after.checkpoint_sha256 != before.checkpoint_sha256
    changed = {"conditions", "condition_rates", "checkpoint_sha256"}
    assert after.model_dump(exclude=changed) == before.model_dump(exclude=changed)
    assert "conditions" not in before.model_dump()
    assert after.conditions
    assert [each.condition for each in after.conditions.detectors] == ["covered_eyes", "dark", "not_photograph"]
    rates = {each.condition: each.false_match_curve for each in after.condition_rates}
    assert rates["not_photograph"] is None
    assert rates["dark"]


def test_conditions_are_found_as_the_service_finds_them(
    source: DataSource, data: PeopleData, fitted: Checkpoint
) -> None:
    detectors = fitted.header.conditions
    assert detectors
    config, finder = data.album.preprocessing, detection.FaceFinder()
    found = []
    for number in data.trained_on.tolist():
        photo = decoding.decode(source.files([data.album.keys[number]])[data.album.keys[number]], config)
        face = analysis.analyse(photo, "center", config, finder, conditions=detectors).faces[0]
        dark = DARK(np.asarray(photo.picture), face.face.landmarks, DARK.usual, generator_for(0))
        seen = analysis.analyse(
            decoding.decode(encode(dark, 95), config), "center", config, finder, conditions=detectors
        )
        found.append(("dark" in (face.conditions or []), "dark" in (seen.faces[0].conditions or [])))
    plain, changed = np.array(found).mean(axis=0)
    assert changed > 0.8 > 0.3 > plain


def test_undecided_pairs_are_those_of_the_service(fitted: Checkpoint) -> None:
    draws = np.random.default_rng(2)
    names = ["covered_eyes", "dark", "not_photograph", "uncertain_face"]
    found = [[name for name in names if draws.random() < 0.3] for _ in range(12)]
    likeness = draws.uniform(0, 1, (12, 12))
    alike = ConditionRates(condition="alike", likeness=0.6, false_match_curve=curve())
    rates = (*fitted.header.condition_rates, alike)
    for max_fmr in (0.5, 0.1):
        least = least_similarities(rates, found, max_fmr, likeness)
        unaware = least_similarities(rates, found, max_fmr, None)
        assert ((unaware < least) == ((likeness >= 0.6) & (unaware < alike.least_similarity(max_fmr)))).all()
        for one in range(12):
            for other in range(12):
                value, shared = float(draws.random()), shared_conditions([found[one]], [found[other]])
                shared += ["alike"] if likeness[one, other] >= 0.6 else []
                decision = decide_for_pair(value, 0.2, max_fmr, rates, shared)
                wanted = "different" if value < 0.2 else "undecided" if value < least[one, other] else "same"
                assert decision == wanted


def test_measured_rates_count_undecided_pairs_as_not_accepted(
    source: DataSource, data: PeopleData, plain: Path, fitted: Checkpoint
) -> None:
    before = measure_shared_changes(load(plain), source, data.album, CPU, [SKETCH]).changes[1]
    after = measure_shared_changes(fitted, source, data.album, CPU, [SKETCH]).changes[1]
    assert before.noticed is None
    assert after.noticed == 1
    for point, same in zip(after.points, before.points, strict=True):
        assert (point.fmr, point.fnmr) == (same.fmr, same.fnmr)
        assert same.fmr_decided == same.fmr
        assert point.fmr_decided <= point.fmr
        assert same.undecided == 0
    assert all(point.fmr_decided == 0 for point in after.points[1:])
    assert all(point.undecided == pytest.approx(1 - point.fnmr) for point in after.points[1:])


def test_network_of_whole_pictures_is_refused(
    checkpoint_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["conditions", str(checkpoint_path), "--out", str(tmp_path / "new")]) == 1
    assert "was not trained on aligned faces" in capsys.readouterr().err


def refit(source: DataSource, checkpoint: Path, out: Path, *more: str) -> int:
    return main(["conditions", str(checkpoint), "--out", str(out), "--data", str(source.folder), "--images", "people",
                 "--cache", str(source.cache), "--train-people", "people.txt", "--device", "cpu", *more])  # fmt: skip


def test_one_condition_is_fitted_anew_and_the_others_stay(
    source: DataSource, fitted: Checkpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(condition_rates, "MIN_PICTURES", 2)
    monkeypatch.setattr(fitting, "CHANGES", (DARK, SKETCH))  # other examples, so other weights
    before = source.folder / "run" / "conditions.safetensors"
    out = tmp_path / "new.safetensors"
    assert refit(source, before, out, "--only", "not_photograph") == 0
    old, new = fitted.header, load(out).header
    assert old.conditions
    assert new.conditions
    for one, other in zip(old.conditions.detectors, new.conditions.detectors, strict=True):
        assert (one == other) == (one.condition != "not_photograph")
    assert new.condition_rates == old.condition_rates
    assert new.embedding_sha256 == old.embedding_sha256


@pytest.mark.parametrize(
    ("name", "checkpoint", "error"),
    [
        ("hats", "conditions", "--only hats: the checkpoint finds covered_eyes, dark, not_photograph"),
        (
            "alike",
            "conditions",
            "--only alike: too few held-out pictures are alike, or their embeddings have no thumbnails",
        ),
        ("dark", "small-faces", "small-faces: has no conditions yet; fit all of them, without --only"),
    ],
)
@pytest.mark.usefixtures("fitted")
def test_only_conditions_that_the_checkpoint_has_are_fitted_anew(
    source: DataSource, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, checkpoint: str, error: str
) -> None:
    path = source.folder / "run" / f"{checkpoint}.safetensors"
    assert refit(source, path, tmp_path / "new.safetensors", "--only", name) == 1
    assert capsys.readouterr().err.splitlines()[-1].endswith(error)
