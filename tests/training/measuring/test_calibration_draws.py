"""`python -m training calibration-draws`: what calibrating on some people gives on the others."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from model.checkpoint import Checkpoint, load
from model.errors import DataError
from model.networks.architecture import restore
from model.networks.embedder import save
from model.similarity import Calibration, OperatingPoint
from tests.conftest import describe, tiny_network
from tests.drawing import encode, portrait
from tests.training.measuring.test_recalibration import save_one
from tests.training.support.small_people import SMALL_PEOPLE, data_of, draw_people
from training.__main__ import main
from training.data.album import Album
from training.data.preparation import open_album
from training.data.source import DataSource
from training.measuring.calibration_draws import Rule, held_out_people, measure_draws

PEOPLE = 20
EVERYBODY = OperatingPoint(
    name="fmr_1e-2", max_fmr=0.01, threshold=0.0, fmr=0.01, interval=(0.0, 0.02), split="held", pairs=900, people=50
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty people with two pictures each, and the first picture twice."""
    folder = tmp_path_factory.mktemp("drawn")
    for person in range(PEOPLE):
        for picture in (1, 2):
            path = folder / "people" / f"Person_{person:02d}" / f"{picture}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(portrait(person, picture)))
    first = folder / "people" / "Person_00"
    (first / "3.png").write_bytes((first / "1.png").read_bytes())
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A small random network whose point for 1% accepts everybody."""
    folder = tmp_path_factory.mktemp("weights")
    plain = save_one(folder / "plain.safetensors", "residual")
    changes = described(plain) | {"operating_points": (EVERYBODY,)}
    save(folder / "old.safetensors", restore(plain), describe().model_copy(update=changes))
    return load(folder / "old.safetensors")


@pytest.fixture(scope="module")
def album(folder: Path, checkpoint: Checkpoint) -> Album:
    return open_album(folder / "people", folder / "cache", checkpoint.header.preprocessing, "largest")


def test_others_are_measured_with_the_thresholds_of_those_drawn(checkpoint: Checkpoint, album: Album) -> None:
    rule = Rule(people=15, every_picture=False, draws=4)
    found = measure_draws(checkpoint, restore(checkpoint), album, rule, images="people")
    assert (found.people, found.pictures) == (PEOPLE, 2 * PEOPLE)
    assert found.shipped
    assert (found.shipped.fmr.mean, found.shipped.fnmr.mean) == (1.0, 0.0)
    for outcome in (found.plain, found.centred):
        # Fifteen people have 105 pairs, of which one may be accepted.
        assert outcome.supported == 0
        assert 0 <= outcome.fmr.low <= outcome.fmr.mean <= outcome.fmr.high < 0.2
        assert 0 < outcome.fnmr.mean <= 1
    assert found.half is found.refitted is None
    assert found.plain.area == found.shipped.area != found.centred.area
    assert found == measure_draws(checkpoint, restore(checkpoint), album, rule, images="people")


def test_every_picture_gives_more_pairs_and_other_thresholds(checkpoint: Checkpoint, album: Album) -> None:
    one, every = (
        measure_draws(checkpoint, restore(checkpoint), album, Rule(people=15, every_picture=each, draws=4))
        for each in (False, True)
    )
    assert one.plain.fmr != every.plain.fmr


def test_refit_on_those_drawn_moves_the_errors_of_the_others_at_one_half(checkpoint: Checkpoint, album: Album) -> None:
    """The random network's logits are cosines above 0.5, so at 0.5 it accepts everybody; 18 people have 18 pairs."""
    few, enough = (Rule(people=people, every_picture=True, draws=2) for people in (15, 18))
    assert measure_draws(checkpoint, restore(checkpoint), album, few).half is None
    several = Album(
        keys=[*album.keys, *((person, f"{name}b") for person, name in album.keys)],
        pixels=torch.cat([album.pixels, album.pixels.roll(1, 2)]),
        sha256="",
        preprocessing=album.preprocessing,
    )
    found = measure_draws(checkpoint, restore(checkpoint), several, enough)
    assert found.half
    assert found.refitted
    assert (found.half.fmr.mean, found.half.fnmr.mean) == (1.0, 0.0)
    assert found.refitted.fmr.mean < 0.6
    assert found.refitted.fnmr.mean > 0


def test_only_chosen_people_count(checkpoint: Checkpoint, album: Album) -> None:
    chosen = [f"Person_{person:02d}" for person in range(8)]
    found = measure_draws(checkpoint, restore(checkpoint), album, Rule(people=5, every_picture=False, draws=1), chosen)
    assert (found.people, found.pictures) == (8, 16)
    with pytest.raises(DataError, match="has 8 people; at least 9 are needed for --people 7"):
        measure_draws(checkpoint, restore(checkpoint), album, Rule(people=7, every_picture=False, draws=1), chosen)


def test_network_without_unit_length_is_refused(tmp_path: Path, album: Album) -> None:
    save(tmp_path / "siamese.safetensors", tiny_network(), describe())
    siamese = load(tmp_path / "siamese.safetensors")
    with pytest.raises(DataError, match="take a network that learned from people"):
        measure_draws(siamese, restore(siamese), album, Rule(people=5, every_picture=False, draws=1))


def test_calibrated_checkpoint_is_refused(checkpoint: Checkpoint, album: Album) -> None:
    header = checkpoint.header.model_copy(update={"calibration": Calibration(scale=2.0)})
    calibrated = Checkpoint(header=header, tensors=checkpoint.tensors)
    with pytest.raises(DataError, match="is calibrated already; take the checkpoint that it was made from"):
        measure_draws(calibrated, restore(calibrated), album, Rule(people=5, every_picture=False, draws=1))


def test_held_out_people_are_those_of_the_run(tmp_path: Path, checkpoint: Checkpoint) -> None:
    folder = draw_people(tmp_path)
    data = data_of(open_album(folder / "people", tmp_path / "cache", SMALL_PEOPLE.preprocessing))
    experiment = json.dumps({"held_out": {"fraction": 0.4, "most_pictures": 4}})
    header = checkpoint.header.model_copy(
        update={"provenance": checkpoint.header.provenance.model_copy(update={"experiment": experiment})}
    )
    source = DataSource(
        folder=folder, cache=folder, images="people", train_pairs="", train_people="people.txt", test_pairs=""
    )
    assert held_out_people(header, source) == set(data.held_out)


def test_command_prints_and_writes_the_figures(
    folder: Path, tmp_path: Path, checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "old.safetensors", restore(checkpoint), describe().model_copy(update=described(checkpoint)))
    options = ["--data", str(folder), "--images", "people", "--cache", str(tmp_path / "cache"), "--device", "cpu"]
    drawing = ["--people", "15", "--draws", "2", "--out", str(tmp_path / "draws.json")]
    assert main(["calibration-draws", str(tmp_path / "old.safetensors"), *options, *drawing]) == 0
    shown = capsys.readouterr().out
    assert "40 pictures of 20 people of people" in shown
    assert "2 draws of 15 people, one picture each" in shown
    assert all(
        f"\n{kind} " in shown for kind in ("as shipped", "as shipped, centred", "calibrated", "calibrated, centred")
    )
    stored = json.loads((tmp_path / "draws.json").read_text())
    assert stored["rule"] == {"people": 15, "every_picture": False, "draws": 2}
    assert np.isfinite(stored["plain"]["fmr"]["mean"])


def described(checkpoint: Checkpoint) -> dict[str, object]:
    return {name: getattr(checkpoint.header, name) for name in type(describe()).model_fields}
