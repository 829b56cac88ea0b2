"""`python -m training elsewhere`: what the thresholds do on a folder of people, against the service's similarities."""

import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from model.arrays import Features
from model.checkpoint import load
from model.conditions import NOT_PHOTOGRAPH, ConditionRates, decide_for_pair, shared_conditions
from model.errors import DataError
from model.imaging.analysis import analyse
from model.imaging.conditions import FEATURES, ConditionDetector, ConditionDetectors
from model.imaging.crop_features import features
from model.imaging.decoding import Photo, decode
from model.imaging.detection import FaceFinder
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.architecture import restore
from model.networks.embedder import save
from model.similarity import Calibration, FalseMatchCurve, OperatingPoint, Threshold
from model.verifier import Verifier
from tests.conftest import describe, tiny_network
from tests.drawing import encode, portrait
from tests.training.measuring.test_recalibration import save_one
from tests.training.support.small_faces import draw_faces
from tests.training.support.small_pairs import CPU
from tests.training.support.small_people import SMALL_PEOPLE, album_of, data_of, draw_people
from training.__main__ import main
from training.data.album import Album
from training.data.source import DataSource
from training.learning.loop import train
from training.measuring.elsewhere import Asked, measure_elsewhere
from training.runs.finish import finish
from training.runs.records import Elsewhere

PEOPLE = 12
POINT = OperatingPoint(
    name="fmr_1e-2", max_fmr=0.01, threshold=0.7305, fmr=0.01, interval=(0.0, 0.02), split="held", pairs=900, people=50
)
MODEST = Threshold(value=0.729, method="given", split="none", pairs=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve people with two pictures each, and one of them again."""
    folder = tmp_path_factory.mktemp("elsewhere") / "studio"
    for person in range(PEOPLE):
        for picture in (1, 2):
            path = folder / f"Person_{person:02d}" / f"{picture}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(portrait(person, picture)))
    (folder / "Person_03" / "3.png").write_bytes((folder / "Person_03" / "1.png").read_bytes())
    return folder


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A small random network with a default threshold and a point, both between its similarities."""
    path = tmp_path / "small.safetensors"
    plain = save_one(path, "residual")
    changes = {name: getattr(plain.header, name) for name in type(describe()).model_fields}
    changes |= {"threshold": MODEST, "operating_points": (POINT,)}
    save(path, restore(plain), describe().model_copy(update=changes))
    return path


def source_of(folder: Path) -> DataSource:
    return DataSource(
        folder=folder, cache=folder.parent / "cache", images=".", train_pairs="", train_people="people.txt",
        test_pairs="", face="largest",
    )  # fmt: skip


def measured(path: Path, folder: Path, *, keep_alike: bool = True, held_out: bool = False) -> Elsewhere:
    """Drawn heads are alike to a random network, hence `keep_alike`."""
    source, checkpoint = source_of(folder), load(path)
    album = source.album(checkpoint.header.preprocessing)
    return measure_elsewhere(checkpoint, source, album, Asked(keep_alike=keep_alike, held_out=held_out), CPU)


def scores_of(path: Path, album: Album, pictures: Sequence[int]) -> tuple[list[float], list[float]]:
    """The service's similarities of all genuine and all impostor pairs."""
    verifier = Verifier.of(load(path), "cpu")
    embeddings = verifier.embed(album.pixels[:].numpy())
    genuine: list[float] = []
    impostor: list[float] = []
    for left, right in combinations(pictures, 2):
        same = album.keys[left][0] == album.keys[right][0]
        (genuine if same else impostor).append(float(verifier.compare(embeddings[[left]], embeddings[[right]])[0]))
    return genuine, impostor


@pytest.mark.parametrize("calibrated", [False, True])
def test_rates_are_those_of_the_service_over_all_pairs(folder: Path, checkpoint: Path, calibrated: bool) -> None:
    if calibrated:
        old = load(checkpoint)
        changes = {name: getattr(old.header, name) for name in type(describe()).model_fields}
        # A little more than 1, so that the thresholds still divide the similarities.
        changes["calibration"] = Calibration(scale=1.002)
        save(checkpoint, restore(old), describe().model_copy(update=changes))
    found = measured(checkpoint, folder)
    album = source_of(folder).album(load(checkpoint).header.preprocessing)
    again = album.keys.index(("Person_03", "3"))
    genuine, impostor = scores_of(checkpoint, album, [n for n in range(len(album.keys)) if n != again])
    assert (found.images, found.people, found.pictures, found.left_out) == ("studio", PEOPLE, 2 * PEOPLE, 1)
    assert (found.genuine, found.impostor) == (len(genuine), len(impostor))
    assert [(each.name, each.max_fmr, each.threshold) for each in found.rates] == [
        ("default", None, MODEST.value),
        ("fmr_1e-2", 0.01, POINT.threshold),
    ]
    for each in found.rates:
        assert each.fnmr
        assert each.fmr.value == pytest.approx(np.mean([score >= each.threshold for score in impostor]))
        assert each.fnmr.value == pytest.approx(np.mean([score < each.threshold for score in genuine]))
        assert 0 < each.fmr.value < 1
        for share in (each.fmr, each.fnmr):
            assert share.interval[0] <= share.value <= share.interval[1]
        assert each.fmr_of_similar
        assert each.fmr_of_similar.value > each.fmr.value
    assert found.area
    above = np.mean([(one > other) + (one == other) / 2 for one in genuine for other in impostor])
    assert found.area.value == pytest.approx(above, abs=1e-3)
    assert found.length
    assert 0 < found.length <= 1


def test_undecided_pairs_are_those_of_the_service(tmp_path: Path) -> None:
    folder = draw_faces(tmp_path / "data") / "people"
    path = tmp_path / "old.safetensors"
    plain = save_one(path, "aligned")
    config, finder = plain.header.preprocessing, FaceFinder()
    slopes = np.random.default_rng(5).normal(size=(3, FEATURES[config.colour]))

    def detectors(limits: Sequence[float]) -> ConditionDetectors:
        rows = zip(("dark", "noisy", NOT_PHOTOGRAPH), slopes, limits, strict=True)
        return ConditionDetectors(
            detectors=tuple(
                ConditionDetector(condition=name, weights=tuple(row.tolist()), bias=-limit, flagged=0.0)
                for name, row, limit in rows
            )
        )

    album = source_of(folder).album(config)
    photos = [decode((folder / person / f"{stem}.png").read_bytes(), config) for person, stem in album.keys]
    values = [_features(photo, config, finder) @ slopes.T for photo in photos]
    fitted = detectors(np.quantile(values, [0.4, 0.6, 0.9], axis=0).diagonal().tolist())
    conditions = [
        analyse(photo, "largest", config, finder, conditions=fitted).faces[0].conditions or [] for photo in photos
    ]
    curve = FalseMatchCurve(thresholds=(0.1, 0.9), rates=(0.5, 0.001), split="held", pairs=900, people=50)
    rates = (
        ConditionRates(condition="dark", false_match_curve=curve),
        *(ConditionRates(condition=name) for name in ("noisy", NOT_PHOTOGRAPH)),
    )
    genuine, impostor = scores_of(path, album, range(len(album.keys)))
    point = POINT.model_copy(update={"threshold": float(np.median(impostor))})
    changes = {name: getattr(plain.header, name) for name in type(describe()).model_fields}
    changes |= {"operating_points": (point,), "conditions": fitted, "condition_rates": rates}
    save(path, restore(plain), describe().model_copy(update=changes))

    found = measured(path, folder).rates
    of_pairs = {True: iter(genuine), False: iter(impostor)}
    decisions: dict[bool, list[str]] = {True: [], False: []}
    for one, other in combinations(range(len(photos)), 2):
        same = album.keys[one][0] == album.keys[other][0]
        shared = shared_conditions([conditions[one]], [conditions[other]])
        decisions[same].append(decide_for_pair(next(of_pairs[same]), point.threshold, 0.01, rates, shared))
    assert found[0].fmr_decided is None
    assert found[0].undecided is None
    assert found[1].fmr_decided
    assert found[1].fmr_decided.value == pytest.approx(decisions[False].count("same") / len(impostor))
    assert found[1].undecided == pytest.approx(decisions[True].count("undecided") / len(genuine))
    assert 0 < found[1].fmr_decided.value < found[1].fmr.value
    assert found[1].undecided
    assert found[1].undecided < 1


def _features(photo: Photo, config: PreprocessingConfig, finder: FaceFinder) -> Features:
    [found] = analyse(photo, "largest", config, finder).faces
    assert config.alignment
    template = config.alignment.points(config.side_px, config.crop)
    size = (photo.width_px, photo.height_px)
    return features(found.pixels, found.face.landmarks, template, size, found.face.score)


def test_people_with_one_picture_have_false_matches_alone(checkpoint: Path, tmp_path: Path) -> None:
    for person in range(4):
        path = tmp_path / "alone" / f"P{person}" / "1.png"
        path.parent.mkdir(parents=True)
        path.write_bytes(encode(portrait(person, 1)))
    found = measured(checkpoint, tmp_path / "alone")
    assert (found.genuine, found.impostor, found.area) == (0, 6, None)
    assert all(each.fnmr is each.fmr_of_similar is None for each in found.rates)


def test_network_that_learned_from_pairs_has_rates_without_a_length(folder: Path, tmp_path: Path) -> None:
    save(tmp_path / "siamese.safetensors", tiny_network(), describe())
    found = measured(tmp_path / "siamese.safetensors", folder)
    assert found.length is None
    assert [each.name for each in found.rates] == ["default"]
    with pytest.raises(DataError, match="no people were held out, as for networks that learned from pairs"):
        measured(tmp_path / "siamese.safetensors", folder, held_out=True)


def test_copies_under_two_names_are_named(folder: Path, checkpoint: Path) -> None:
    with pytest.raises(DataError, match="nearly the same under two names"):
        measured(checkpoint, folder, keep_alike=False)


def test_folder_of_one_person_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "one" / "Ada").mkdir(parents=True)
    (tmp_path / "one" / "Ada" / "1.png").write_bytes(encode(portrait(1)))
    with pytest.raises(DataError, match="has pictures of 1 people; at least 2 are needed"):
        measured(checkpoint, tmp_path / "one")


def test_command_measures_any_folder_and_calibrates(
    folder: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "elsewhere" / "studio.json"
    arguments = ["elsewhere", str(checkpoint), "--data", str(folder), "--cache", str(tmp_path / "cache"), "--device",
                 "cpu", "--keep-alike", "--out", str(out)]  # fmt: skip
    assert main([*arguments, "--draws", "2"]) == 1
    assert "error: --draws: does nothing without --calibrate; add it" in capsys.readouterr().err
    assert main([*arguments, "--calibrate", "5", "8", "--draws", "2"]) == 0
    shown = capsys.readouterr().out
    assert "24 pictures of 12 people of studio, 1 left out: 12 genuine and 264 impostor pairs" in shown
    assert "max_fmr=0.01  threshold 0.7305: FMR " in shown
    assert shown.count("FMR over most similar strangers") == 2
    assert "2 draws of 8 people, all pictures each, to calibrate on" in shown
    stored = Elsewhere.model_validate_json(out.read_bytes())
    assert [(each.people, each.every_picture) for each in stored.calibrations] == [
        (5, False), (5, True), (8, False), (8, True),
    ]  # fmt: skip
    assert all(each.shipped for each in stored.calibrations)
    assert main([*arguments, "--calibrate", "11"]) == 1
    assert "there are 12 people; 13 are needed for --calibrate 11" in capsys.readouterr().err


def test_held_out_people_of_the_run_are_measured_and_its_training_people_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = draw_people(tmp_path)
    data = data_of(album_of(folder, folder / "cache"))
    finish(SMALL_PEOPLE, train(SMALL_PEOPLE, data, folder / "run", CPU), data, None, folder / "run", "code")
    arguments = ["elsewhere", str(folder / "run" / "small-people.safetensors"), "--data", str(folder), "--images",
                 "people", "--cache", str(folder / "cache"), "--train-people", "people.txt", "--device", "cpu",
                 "--keep-alike", "--out", str(tmp_path / "found.json")]  # fmt: skip
    assert main(arguments) == 1
    assert "was trained on these pictures; add --held-out" in capsys.readouterr().err
    assert main([*arguments, "--held-out"]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["held_out"], found["people"]) == (True, len(data.held_out))
    assert found["pictures"] == sum(map(len, data.held_out.values()))
    (folder / "fewer.txt").write_text("Person_0\t3\nPerson_1\t2\nPerson_2\t4\nPerson_3\t3\n")
    assert main([*arguments, "--held-out", "--train-people", "fewer.txt"]) == 1
    assert "was trained on another list of people" in capsys.readouterr().err
