"""The checkpoint in the repository: sound, described by its card, and as good as that says."""

from pathlib import Path

import pytest

from app.main import open_verifier
from app.settings import SHIPPED, read_settings
from model.checkpoint import Header, load
from training.album import open_album
from training.archive import find_images
from training.card import format_card
from training.evaluation import accuracy
from training.experiments import EXPERIMENT_2
from training.pairs import read_pairs, resolve, split
from training.scoring import score_pairs


@pytest.fixture(scope="module")
def header() -> Header:
    return load(SHIPPED).header


def figure(header: Header, name: str, split_name: str) -> float:
    return next(m.value for m in header.metrics if (m.name, m.split) == (name, split_name))


def test_its_card_is_what_its_header_says(header: Header) -> None:
    assert SHIPPED.with_suffix(".md").read_text() == format_card(header)


def test_it_is_the_network_of_experiment_2_trained_on_a_clean_commit(header: Header) -> None:
    assert header.name == EXPERIMENT_2.name
    assert header.network == EXPERIMENT_2.network
    assert header.preprocessing == EXPERIMENT_2.preprocessing
    assert not header.provenance.code_version.endswith("-dirty")


def test_it_is_small_enough_to_ship() -> None:
    assert SHIPPED.stat().st_size < 90_000_000


def test_the_service_opens_it() -> None:
    verifier = open_verifier(read_settings({"device": "cpu"}, environment={}))
    assert verifier.header.name == "experiment-2"


def test_it_scores_on_lfw_what_it_says(lfw: Path, lfw_cache: Path, header: Header) -> None:
    checkpoint = load(SHIPPED)
    album = open_album(find_images(lfw, "lfw-deepfunneled"), lfw_cache, header.preprocessing)
    assert album.sha256 == header.provenance.data_sha256
    path = lfw / "pairsDevTrain.txt"
    _, validation = split(resolve(path, read_pairs(path), album.index()), 0.2, EXPERIMENT_2.split_seed)
    scores, same = score_pairs(checkpoint.network, header.preprocessing, album, validation)
    measured = accuracy(scores, same, header.threshold.value).value
    assert measured == pytest.approx(figure(header, "accuracy at threshold", "validation"), abs=0.005)
