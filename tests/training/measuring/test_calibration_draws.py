"""What calibrating on some people gives on the others, over random draws."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from model.checkpoint import Checkpoint, load
from model.errors import DataError
from model.networks.architecture import restore
from model.networks.calibrated import restore_calibrated
from model.networks.embedder import save
from model.similarity import Calibration, OperatingPoint, similarity
from tests.conftest import describe, tiny_network
from tests.drawing import encode, portrait
from tests.training.measuring.test_recalibration import save_one
from training import scoring
from training.data.album import owners
from training.data.lists import pictures_at_hand
from training.data.preparation import open_album
from training.measuring.calibration_draws import Photographs, Rule, measure_draws
from training.runs.records import CalibrationDraws

PEOPLE = 20
EVERYBODY = OperatingPoint(
    name="fmr_1e-2", max_fmr=0.01, threshold=0.0, fmr=0.01, interval=(0.0, 0.02), split="held", pairs=900, people=50
)
FEW = Rule(people=15, every_picture=False, draws=4)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A small random network whose point for 1% accepts everybody."""
    folder = tmp_path_factory.mktemp("weights")
    plain = save_one(folder / "plain.safetensors", "residual")
    changes = {name: getattr(plain.header, name) for name in type(describe()).model_fields}
    changes |= {"operating_points": (EVERYBODY,)}
    save(folder / "old.safetensors", restore(plain), describe().model_copy(update=changes))
    return load(folder / "old.safetensors")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory, checkpoint: Checkpoint) -> Photographs:
    """Twenty people with two pictures each, embedded."""
    folder = tmp_path_factory.mktemp("drawn")
    for person in range(PEOPLE):
        for picture in (1, 2):
            path = folder / "people" / f"Person_{person:02d}" / f"{picture}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(portrait(person, picture)))
    album = open_album(folder / "people", folder / "cache", checkpoint.header.preprocessing, "largest")
    pictures, owner = owners(pictures_at_hand({name for name, _ in album.keys}, album))
    embeddings = scoring.embed_all(restore(checkpoint), album, pictures)
    return Photographs(embeddings=embeddings.numpy(), owner=owner.numpy())


def measured(checkpoint: Checkpoint, photographs: Photographs, rule: Rule = FEW) -> CalibrationDraws:
    return measure_draws(checkpoint.header, restore_calibrated(checkpoint), photographs, rule)


def test_others_are_measured_with_the_thresholds_of_those_drawn(
    checkpoint: Checkpoint, photographs: Photographs
) -> None:
    found = measured(checkpoint, photographs)
    assert (found.people, found.every_picture, found.draws) == (15, False, 4)
    assert found.shipped
    assert found.shipped.fnmr
    assert (found.shipped.fmr.mean, found.shipped.fnmr.mean) == (1.0, 0.0)
    assert found.supported == 0
    for outcome in (found.calibrated, found.calibrated_centred):
        # Fifteen people have 105 pairs, of which one may be accepted.
        assert 0 <= outcome.fmr.low <= outcome.fmr.mean <= outcome.fmr.high < 0.2
        assert outcome.fnmr
        assert 0 < outcome.fnmr.mean <= 1
    assert found.default is found.default_refitted is None
    assert found.calibrated.area == found.shipped.area != found.calibrated_centred.area
    assert found == measured(checkpoint, photographs)


def test_every_picture_gives_more_pairs_and_other_thresholds(checkpoint: Checkpoint, photographs: Photographs) -> None:
    one, every = (
        measured(checkpoint, photographs, Rule(people=15, every_picture=each, draws=4)) for each in (False, True)
    )
    assert one.calibrated.fmr != every.calibrated.fmr


def test_refit_on_those_drawn_moves_the_errors_of_the_others_at_one_half(
    checkpoint: Checkpoint, photographs: Photographs
) -> None:
    """The random network's logits are cosines above 0.5, so at 0.5 it accepts everybody."""
    few, enough = (Rule(people=people, every_picture=True, draws=2) for people in (15, 18))
    assert measured(checkpoint, photographs, few).default is None
    noise = np.random.default_rng(0).normal(0, 0.05, photographs.embeddings.shape).astype(np.float32)
    again = torch.nn.functional.normalize(torch.from_numpy(photographs.embeddings + noise)).numpy()
    several = Photographs(
        embeddings=np.concatenate([photographs.embeddings, again]), owner=np.concatenate([photographs.owner] * 2)
    )
    found = measured(checkpoint, several, enough)
    assert found.default
    assert found.default.fnmr
    assert found.default_refitted
    assert found.default_refitted.fnmr
    assert (found.default.fmr.mean, found.default.fnmr.mean) == (1.0, 0.0)
    assert found.default_refitted.fmr.mean < 0.6
    assert found.default_refitted.fnmr.mean > 0


def test_people_with_one_picture_have_false_matches_alone(checkpoint: Checkpoint, photographs: Photographs) -> None:
    found = measured(checkpoint, photographs[np.arange(0, 2 * PEOPLE, 2)])
    assert found.calibrated.fnmr is found.calibrated.area is None
    assert 0 <= found.calibrated.fmr.mean < 0.2


def test_too_few_people_are_refused(checkpoint: Checkpoint, photographs: Photographs) -> None:
    eight = photographs[photographs.owner < 8]
    assert measured(checkpoint, eight, Rule(people=6, every_picture=False, draws=1)).people == 6
    with pytest.raises(DataError, match="there are 8 people; 9 are needed for --calibrate 7"):
        measured(checkpoint, eight, Rule(people=7, every_picture=False, draws=1))


def test_network_without_unit_length_is_refused(tmp_path: Path, photographs: Photographs) -> None:
    save(tmp_path / "siamese.safetensors", tiny_network(), describe())
    with pytest.raises(DataError, match="take a network that learned from people"):
        measured(load(tmp_path / "siamese.safetensors"), photographs)


def test_centred_checkpoint_is_refused(checkpoint: Checkpoint, photographs: Photographs) -> None:
    mean = tuple(map(float, photographs.embeddings.mean(0)))
    header = checkpoint.header.model_copy(update={"calibration": Calibration(mean=mean)})
    with pytest.raises(DataError, match="is centred already; take the checkpoint that it was made from"):
        measured(Checkpoint(header=header, tensors=checkpoint.tensors), photographs)


def test_thresholds_of_a_calibrated_checkpoint_are_in_its_own_units(
    checkpoint: Checkpoint, photographs: Photographs
) -> None:
    """The same network with another scale and bias, and the same thresholds in their units."""
    fitted, half = Calibration(scale=3.0, bias=-2.0), EVERYBODY.model_copy(update={"threshold": 0.72})
    moved = float(similarity(fitted.adjust(np.log([0.72 / 0.28])))[0])
    plain, calibrated = (
        checkpoint.header.model_copy(update={"calibration": calibration, "operating_points": (point,)})
        for calibration, point in (
            (Calibration(), half),
            (fitted, half.model_copy(update={"threshold": moved})),
        )
    )
    one, other = (
        measured(Checkpoint(header=header, tensors=checkpoint.tensors), photographs) for header in (plain, calibrated)
    )
    assert one.shipped
    assert other.shipped
    assert 0 < one.shipped.fmr.mean < 1
    assert other.shipped.fmr.mean == pytest.approx(one.shipped.fmr.mean)
    assert other.calibrated.fmr.mean == pytest.approx(one.calibrated.fmr.mean)
    assert other.calibrated_centred.fmr.mean == pytest.approx(one.calibrated_centred.fmr.mean)


def test_draws_are_seeded(checkpoint: Checkpoint, photographs: Photographs) -> None:
    """Another number of draws begins with the same ones."""
    one, again = (measured(checkpoint, photographs, Rule(**asdict(FEW) | {"draws": 1})) for _ in range(2))
    assert one == again
    assert one.calibrated.fmr.deviation == 0
