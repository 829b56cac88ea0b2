"""The repository's checkpoints are valid, match their cards, and have the accuracy that they record."""

import json
import signal
from itertools import combinations, product
from pathlib import Path

import httpx
import numpy as np
import pytest

from app.server.replica import open_verifier
from app.settings import SHIPPED, read_settings
from model.checkpoint import Header, load
from model.imaging.analysis import analyse
from model.imaging.decoding import decode
from model.imaging.detection import FaceFinder
from model.networks.architecture import restore
from tests.app.support.requests import embed, verify
from tests.app.support.service import PATIENCE_S, serving
from tests.conftest import client_of
from tests.drawing import encode
from tests.faces import head_at, scene
from training.data.datasets import split
from training.data.lists import read_pairs, resolve
from training.data.pictures import find_images
from training.data.preparation import open_album
from training.learning.experiments import (
    EXPERIMENT_2,
    EXPERIMENT_5,
    EXPERIMENT_7,
    EXPERIMENT_8,
    EXPERIMENT_9,
    EXPERIMENT_10,
    EXPERIMENT_12,
    EXPERIMENTS,
)
from training.runs.card import format_card
from training.scoring import score_pairs
from training.statistics.rates import accuracy

WEIGHTS = sorted(SHIPPED.parent.glob("*.safetensors"))
# The page's drawn examples.
HEADS = Path(__file__).parents[1] / "app" / "page"
# Grounds of drawn scenes.
GREY, LIGHT = (96, 108, 120), (250, 250, 250)


@pytest.fixture(scope="module", params=WEIGHTS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


@pytest.fixture(scope="module")
def header(path: Path) -> Header:
    return load(path).header


def figure(header: Header, name: str, split_name: str) -> float:
    return next(m.value for m in header.metrics if (m.name, m.split) == (name, split_name))


def test_these_experiments_are_shipped() -> None:
    assert {
        EXPERIMENT_2.name,
        EXPERIMENT_5.name,
        EXPERIMENT_7.name,
        EXPERIMENT_8.name,
        EXPERIMENT_9.name,
        EXPERIMENT_10.name,
        EXPERIMENT_12.name,
    } == {path.stem for path in WEIGHTS}
    assert SHIPPED.stem == EXPERIMENT_12.name


def test_card_equals_the_formatted_header(path: Path, header: Header) -> None:
    assert path.with_suffix(".md").read_text() == format_card(header)


def test_header_matches_its_experiment_and_a_clean_commit(path: Path, header: Header) -> None:
    experiment = EXPERIMENTS[path.stem]
    assert header.name == experiment.name
    assert header.network == experiment.network
    assert header.preprocessing == experiment.preprocessing
    assert not header.provenance.code_version.endswith("-dirty")


def test_file_is_below_90_megabytes(path: Path) -> None:
    assert path.stat().st_size < 90_000_000


@pytest.mark.anyio
async def test_service_is_ready_with_the_checkpoint(path: Path) -> None:
    settings = read_settings({"device": "cpu", "weights": path}, environment={})
    verifier = open_verifier(settings)
    assert verifier.header.name == path.stem
    async with client_of(settings, verifier) as client:
        assert (await client.get("/health/ready")).status_code == 200


def test_the_shipped_checkpoint_is_the_default() -> None:
    assert read_settings({}, environment={}).weights == SHIPPED


@pytest.mark.anyio
async def test_the_default_checkpoint_promises_nothing_of_drawings() -> None:
    settings = read_settings({"device": "cpu"}, environment={})
    heads = [encode(scene(head_at(person)), "JPEG", quality=92) for person in range(8)]
    async with client_of(settings, open_verifier(settings)) as client:
        for left, right in combinations(heads, 2):
            answer = await verify(client, left, right, max_fmr="0.01")
            assert answer["decision"] != "same"
            assert answer["fmr_at_similarity"] is None
        example = [(HEADS / name).read_bytes() for name in ("head-1.webp", "head-2.webp")]
        assert (await verify(client, *example, max_fmr="0.1"))["decision"] == "different"


@pytest.mark.anyio
async def test_the_default_checkpoint_promises_less_of_pictures_that_are_alike() -> None:
    """A pair alone shows that, by its embeddings, so that /compare knows it, too."""
    settings = read_settings({"device": "cpu"}, environment={})
    header = load(SHIPPED).header
    [alike] = [each for each in header.condition_rates if each.condition == "alike"]
    assert alike.likeness
    parts = header.network.unit_parts
    pictures = [encode(scene(head_at(person), ground=ground)) for person, ground in product((0, 1), (GREY, LIGHT))]
    seen = []
    async with client_of(settings, open_verifier(settings)) as client:
        answer = await embed(client, *pictures)
        stored = [(np.array(each["embedding"]), each["conditions"]) for each in answer["data"]]
        for left, right in combinations(range(4), 2):
            (one, shown), (other, shown_too) = stored[left], stored[right]
            likeness = len(parts) * one[-parts[-1] :] @ other[-parts[-1] :]
            verified = await verify(client, pictures[left], pictures[right], max_fmr="0.01")
            assert ("alike" in verified["conditions"]) == (likeness >= alike.likeness)
            body = {"embedding1": one.tolist(), "embedding2": other.tolist(), "max_fmr": 0.01,
                    "embedding_sha256": header.embedding_sha256}  # fmt: skip
            known = (await client.post("/compare", json=body | {"conditions1": shown, "conditions2": shown_too})).json()
            assert (known["conditions"], known["decision"]) == (verified["conditions"], verified["decision"])
            unknown = (await client.post("/compare", json=body)).json()
            assert unknown["conditions"] == (["alike"] if likeness >= alike.likeness else None)
            assert "clean photographs only" in unknown["warnings"][0]
            seen.append(likeness >= alike.likeness)
    assert 0 < sum(seen) < len(seen)


def test_the_default_checkpoint_finds_drawings() -> None:
    """Heads that a program other than the one fitted on draws; 53 of them were found before."""
    header = load(SHIPPED).header
    finder, found = FaceFinder(), []
    for person in range(60):
        photo = decode(encode(scene(head_at(person)), "JPEG", quality=92), header.preprocessing)
        seen = analyse(photo, "center", header.preprocessing, finder, conditions=header.conditions)
        found.append("not_photograph" in (seen.faces[0].conditions or []))
    assert sum(found) >= 59


def test_experiment_2_has_its_recorded_accuracy_on_lfw(lfw: Path, lfw_cache: Path) -> None:
    checkpoint = load(SHIPPED.with_stem(EXPERIMENT_2.name))
    header = checkpoint.header
    album = open_album(find_images(lfw, "lfw-deepfunneled"), lfw_cache, header.preprocessing)
    assert album.sha256 == header.provenance.data_sha256
    path = lfw / "pairsDevTrain.txt"
    _, validation = split(resolve(path, read_pairs(path), album), 0.2, EXPERIMENT_2.split_seed)
    scores, same = score_pairs(restore(checkpoint), album, validation)
    measured = accuracy(scores, same, header.threshold.value).value
    assert measured == pytest.approx(figure(header, "accuracy at threshold", "validation"), abs=0.005)


def test_service_writes_only_log_lines_until_it_exits() -> None:
    with serving(SHIPPED, module="tests.app.support.readonly_root") as service:
        assert httpx.get(f"{service.url}/health/ready", timeout=PATIENCE_S, trust_env=False).status_code == 200
        assert service.end(signal.SIGTERM) == 0
    assert {json.loads(line)["level"] for line in service.log} == {"info"}
