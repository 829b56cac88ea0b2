"""What is said of too few people to learn from, and of too few for thresholds."""

from pathlib import Path

import pytest
import torch

from model.imaging.preprocessing import PreprocessingConfig
from training.data.album import Album
from training.data.datasets import HoldOut, PeopleData
from training.people.enough import warnings
from training.statistics.operating_points import supported


def data_of(people: int) -> PeopleData:
    counts = {f"P{person:04d}": 2 for person in range(people)}
    keys = [(name, str(number)) for name in counts for number in range(2)]
    pixels = torch.zeros(len(keys), 1, 1, dtype=torch.uint8)
    album = Album(keys=keys, pixels=pixels, sha256="", preprocessing=PreprocessingConfig())
    return PeopleData.of(album, Path("list"), counts, HoldOut())


def test_enough_people_need_no_warning() -> None:
    assert warnings(data_of(950), HoldOut()) == []


@pytest.mark.parametrize(
    ("people", "held_out", "rates", "needed"),
    [
        (40, 6, "0.1 needs 15, 0.01 needs 46, 0.001 needs 142", 100),
        (200, 30, "0.01 needs 46, 0.001 needs 142", 307),
        (900, 135, "0.001 needs 142", 947),
    ],
)
def test_too_few_held_out_people_are_said_with_the_rates_they_lack(
    people: int, held_out: int, rates: str, needed: int
) -> None:
    *_, found = warnings(data_of(people), HoldOut())
    assert found.startswith(f"only {held_out} people are held out for the thresholds: a max_fmr of {rates}. ")
    assert f" {needed} people are needed for the first of them" in found
    refused = supported((), *torch.combinations(torch.arange(held_out)).T.numpy())[1].values()
    assert sum("pairs of two people, which" in why for why in refused) == rates.count("needs")


def test_too_few_training_people_with_several_pictures_are_said() -> None:
    found = warnings(data_of(300), HoldOut())
    assert found[0].startswith("only 255 training people have several pictures; ")
    assert "calibrate a shipped checkpoint instead" in found[0]
