"""Rates under shared changes, against a slow loop, and the command with drawn people."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from model.checkpoint import Checkpoint, load
from model.errors import DataError
from model.imaging import analysis, decoding, detection
from model.verifier import Verifier
from tests.training.support.small_conditions import drawn_data, drawn_source, trained_checkpoint
from tests.training.support.small_pairs import CPU
from tests.training.support.small_people import album_of, draw_people
from training.__main__ import main
from training.data import changed
from training.data.change import encode, generator_for
from training.data.changes import CHANGES, NONE
from training.data.datasets import PeopleData
from training.data.source import DataSource
from training.measuring import shared_changes
from training.runs.changed import SharedChanges

GLASSES, DARK = (next(each for each in CHANGES if each.name == name) for name in ("dark glasses", "dark"))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> DataSource:
    return drawn_source(tmp_path_factory.mktemp("faces"))


@pytest.fixture(scope="module")
def data(source: DataSource) -> PeopleData:
    return drawn_data(source)


@pytest.fixture(scope="module")
def checkpoint(source: DataSource, data: PeopleData) -> Checkpoint:
    return load(trained_checkpoint(source, data))


def test_changed_pictures_are_those_of_the_service(source: DataSource, data: PeopleData) -> None:
    key = data.album.keys[4]
    config, finder = data.album.preprocessing, detection.FaceFinder()
    photo = decoding.decode(source.files([key])[key], config)
    saved = decoding.decode(encode(np.asarray(photo.picture), 95), config)
    face = analysis.analyse(saved, "center", config, finder).faces[0].face
    draws = generator_for(0, GLASSES.name, *key)
    pixels = GLASSES(np.asarray(photo.picture), face.landmarks, GLASSES.draw(draws), draws)
    wanted = analysis.analyse(decoding.decode(encode(pixels, 95), config), "center", config, finder)
    before = changed.prepare_unchanged(source, data.album, data.album.keys)
    found = changed.prepare_changed(source, before, data.album.keys, GLASSES, "drawn")
    place = found.indices([key])[0]
    assert (found.album.pixels[place].numpy() == wanted.pixels).all()
    assert found.landmarks[place] == pytest.approx(wanted.faces[0].face.landmarks)
    assert found.sizes[place].tolist() == [wanted.width_px, wanted.height_px]
    assert found.scores[place] == pytest.approx(wanted.faces[0].face.score)


def test_changed_pictures_are_cached_and_a_damaged_cache_is_prepared_again(
    source: DataSource, data: PeopleData, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = data.album.keys[:3]
    before = changed.prepare_unchanged(source, data.album, keys)
    first = changed.prepare_changed(source, before, keys, DARK, "shared")
    (path,) = (source.cache / "changed").glob("people-dark-shared-*.npz")
    with monkeypatch.context() as patch:
        patch.setattr(changed, "_make", pytest.fail)
        again = changed.prepare_changed(source, before, keys, DARK, "shared")
    assert again.album.sha256 == first.album.sha256
    assert again.album.keys == first.album.keys
    path.write_bytes(path.read_bytes()[:1000])
    assert changed.prepare_changed(source, before, keys, DARK, "shared").album.sha256 == first.album.sha256


def test_rates_equal_a_slow_loop(source: DataSource, data: PeopleData, checkpoint: Checkpoint) -> None:
    found = shared_changes.measure_shared_changes(checkpoint, source, data.album, CPU, [GLASSES])
    assert [each.change for each in found.changes] == [NONE.name, GLASSES.name]
    verifier, threshold = Verifier.of(checkpoint, "cpu"), checkpoint.header.threshold.value
    names = {number: name for name, numbers in data.held_out.items() for number in numbers.tolist()}
    keys = [data.album.keys[number] for number in names]
    before = changed.prepare_unchanged(source, data.album, keys)
    pictures = changed.prepare_changed(source, before, keys, GLASSES, "shared")
    there = [number for number, key in zip(names, keys, strict=True) if key in pictures.album.index()]
    embedded = {
        number: verifier.embed(pictures.album.pixels[:].numpy()[[pictures.album.index()[data.album.keys[number]]]])
        for number in there
    }
    accepted = [
        float(verifier.compare(embedded[one], embedded[other])[0]) >= threshold
        for one in there
        for other in there
        if one < other and names[one] != names[other]
    ]
    measured = found.changes[1]
    assert (measured.found, measured.pictures, measured.impostor) == (len(there), len(names), len(accepted))
    assert measured.points[0].fmr == pytest.approx(np.mean(accepted))
    right = 0
    for left, other, same in zip(
        *(getattr(data.validation, name).tolist() for name in ("left", "right", "same")), strict=True
    ):
        unchanged = verifier.embed(data.album.pixels[[other]].numpy())
        if left in embedded:
            right += (float(verifier.compare(embedded[left], unchanged)[0]) >= threshold) == bool(same)
    assert measured.accuracy_of_one == pytest.approx(right / len(data.validation))


def test_command_prints_and_writes(
    source: DataSource, checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = source.folder / "run" / "small-faces.safetensors"
    monkeypatch.setattr(shared_changes, "MEASURED", (DARK,))
    out = tmp_path / "found.json"
    arguments = ["shared-changes", str(path), "--data", str(source.folder), "--images", "people", "--cache",
                 str(source.cache), "--train-people", "people.txt", "--device", "cpu", "--out", str(out)]  # fmt: skip
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "as they are" in printed
    assert "dark " in printed
    found = json.loads(out.read_text())
    assert [each["change"] for each in found["changes"]] == [NONE.name, "dark"]
    assert found["checkpoint_sha256"] == checkpoint.header.checkpoint_sha256


def test_network_of_whole_pictures_is_refused(tmp_path: Path, source: DataSource) -> None:
    folder = draw_people(tmp_path)
    with pytest.raises(DataError, match="aligned faces"):
        changed.prepare_unchanged(source, album_of(folder, folder / "cache"), [])


def test_calibration_on_changed_people_holds_on_the_others(
    source: DataSource, data: PeopleData, checkpoint: Checkpoint
) -> None:
    def measure(people: int) -> SharedChanges:
        return shared_changes.measure_shared_changes(checkpoint, source, data.album, CPU, [DARK], calibrate=people)

    found = measure(2)
    for each in found.changes:
        assert each.calibrated
        assert (each.calibrated.people, each.calibrated.draws) == (2, shared_changes.CALIBRATIONS)
        assert 0 <= each.calibrated.fmr.low <= each.calibrated.fmr.mean <= each.calibrated.fmr.high <= 1
    assert "calibrated for 1%" in shared_changes.format_shared_changes(found)
    assert found == measure(2)
    with pytest.raises(DataError, match="are needed for --calibrate"):
        measure(1000)


def test_calibrated_rate_is_that_of_other_people() -> None:
    """Four people with one picture each: the threshold of two is 0.5, and the pair of the others decides."""
    table = np.full((4, 4), 0.5, np.float32)
    pictures = SimpleNamespace(owner=np.arange(4), impostor_pairs=lambda _: np.triu_indices(4, 1))
    scored = SimpleNamespace(change="dark", there=np.ones(4, bool), table=table)
    assert shared_changes._calibrate(pictures, scored, 2).fmr.mean == 0  # type: ignore[arg-type]
    table[0, 1] = table[1, 0] = 0.9  # either sets the threshold and lets nobody pass, or passes
    fmr = shared_changes._calibrate(pictures, scored, 2).fmr  # type: ignore[arg-type]
    assert 0 < fmr.mean < 0.5
