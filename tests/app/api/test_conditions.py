"""What both pictures share is said, changes the rate, and keeps /verify and /compare from promising what fails."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest

from app.server.replica import open_verifier
from app.settings import Settings, read_settings
from model.conditions import ConditionRates
from model.imaging.conditions import FEATURES, ConditionDetector, ConditionDetectors
from model.imaging.crop_features import features
from model.networks.embedder import save
from model.similarity import FalseMatchCurve, OperatingPoint
from model.verifier import Verifier
from tests.app.support.requests import detect, embed, files, verify
from tests.conftest import client_of, describe, tiny_network
from tests.drawing import encode
from tests.faces import head_at, scene
from training.learning.experiments import ALIGNED, LFW_ALIGNMENT

pytestmark = pytest.mark.anyio

LIGHT, LIGHT_TOO = (encode(scene(head_at(person), ground=(250, 250, 250))) for person in (0, 1))
DIM, DIM_TOO = (encode(scene(head_at(person), ground=(20, 20, 20))) for person in (0, 1))
MEDIUM = encode(scene(head_at(0), ground=(120, 120, 120)))
POINT = OperatingPoint(
    name="fmr_1e-2", max_fmr=0.01, threshold=0.4, fmr=0.01, interval=(0.0, 0.02), split="held", pairs=900, people=50
)


def curve(*rates: float) -> FalseMatchCurve:
    return FalseMatchCurve(thresholds=(0.0, 0.5, 1.0), rates=rates, split="held", pairs=1000, people=50)


def detector(condition: str, sign: int, limit: float) -> ConditionDetector:
    """Finds the condition in crops whose mean grey level is above the limit, or below it with sign -1."""
    side, template = ALIGNED.side_px, LFW_ALIGNMENT.points(ALIGNED.side_px, ALIGNED.crop)
    found = [
        features(np.full((side, side), level, np.uint8), template, template, (side, side), 0.9) for level in (50, 90)
    ]
    weights = np.zeros(FEATURES["grey"])
    weights[np.flatnonzero((found[0] == 50) & (found[1] == 90))[0]] = sign
    return ConditionDetector(condition=condition, weights=tuple(weights.tolist()), bias=-sign * limit, flagged=0.0)


@pytest.fixture(scope="module")
def settings_with_conditions(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A checkpoint in which light pictures are overexposed, of a known rate, and dim ones drawn, of none."""
    path = tmp_path_factory.mktemp("weights") / "conditions.safetensors"
    changes = {
        "operating_points": (POINT,),
        "false_match_curve": curve(1.0, 0.005, 0.001),
        "conditions": ConditionDetectors(
            detectors=(detector("overexposed", 1, 165), detector("not_photograph", -1, 110))
        ),
        "condition_rates": (
            ConditionRates(condition="not_photograph"),
            ConditionRates(condition="overexposed", false_match_curve=curve(1.0, 0.2, 0.02)),
        ),
    }
    save(path, tiny_network(), describe(name="conditions", preprocessing=ALIGNED).model_copy(update=changes))
    return read_settings({"weights": path, "device": "cpu"}, environment={})


@pytest.fixture(scope="module")
def its_verifier(settings_with_conditions: Settings) -> Verifier:
    return open_verifier(settings_with_conditions)


@pytest.fixture
async def its_client(settings_with_conditions: Settings, its_verifier: Verifier) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(settings_with_conditions, its_verifier) as client:
        yield client


async def test_conditions_of_each_face_and_words_are_reported(its_client: httpx.AsyncClient) -> None:
    reports = await detect(its_client, LIGHT, MEDIUM, DIM)
    faces = [report["faces"][0] for report in reports]
    assert [face["conditions"] for face in faces] == [["overexposed"], [], ["not_photograph"]]
    assert any("overexposed" in warning for warning in faces[0]["warnings"])
    assert any("looks like a drawing" in warning for warning in faces[2]["warnings"])
    assert faces[1]["warnings"] == []


@pytest.mark.parametrize(
    ("left", "right", "shared", "decision"),
    [
        (LIGHT, LIGHT_TOO, ["overexposed"], "undecided"),
        (DIM, DIM_TOO, ["not_photograph"], "undecided"),
        (LIGHT, DIM, ["not_photograph"], "undecided"),
        (MEDIUM, LIGHT, [], "same"),
    ],
)
async def test_shared_condition_changes_the_rate_and_the_decision(
    its_client: httpx.AsyncClient, its_verifier: Verifier, left: bytes, right: bytes, shared: list[str], decision: str
) -> None:
    asked, default = await verify(its_client, left, right, max_fmr="0.01"), await verify(its_client, left, right)
    assert asked["conditions"] == default["conditions"] == shared
    assert (asked["decision"], asked["verified"]) == (decision, decision == "same")
    assert (default["decision"], default["verified"]) == ("same", True)
    curves = [its_verifier.header.false_match_curve]
    curves += [each.false_match_curve for each in its_verifier.header.condition_rates if each.condition in shared]
    wanted = None if None in curves else max(each.rate_at(asked["similarity"]) for each in curves if each)
    assert asked["fmr_at_similarity"] == default["fmr_at_similarity"]
    assert asked["fmr_at_similarity"] == (wanted if wanted is None else pytest.approx(wanted))


@pytest.mark.parametrize(("left", "right"), [(LIGHT, LIGHT_TOO), (DIM, DIM_TOO), (LIGHT, MEDIUM)])
async def test_compare_with_conditions_equals_verify(its_client: httpx.AsyncClient, left: bytes, right: bytes) -> None:
    for fields in ({}, {"max_fmr": "0.01"}):
        wanted = await verify(its_client, left, right, **fields)
        body = await compare_body(its_client, left, right) | {name: float(value) for name, value in fields.items()}
        answer = (await its_client.post("/compare", json=body)).json()
        assert answer["warnings"] == []
        for name in ("decision", "verified", "threshold", "operating_point", "conditions"):
            assert answer[name] == wanted[name]
        assert answer["fmr_at_similarity"] == (
            wanted["fmr_at_similarity"] and pytest.approx(wanted["fmr_at_similarity"], rel=1e-3)
        )


async def test_compare_without_conditions_says_what_the_rates_hold_for(its_client: httpx.AsyncClient) -> None:
    body = await compare_body(its_client, DIM, DIM_TOO)
    for left_out in (["conditions1"], ["conditions2"], ["conditions1", "conditions2"]):
        known = {name: value for name, value in body.items() if name not in left_out}
        answer = (await its_client.post("/compare", json=known | {"max_fmr": 0.01})).json()
        assert (answer["decision"], answer["conditions"]) == ("same", None)
        assert answer["fmr_at_similarity"] is not None
        [warning] = answer["warnings"]
        assert "clean photographs only" in warning


async def test_a_model_without_conditions_takes_none_from_compare(aligned_client: httpx.AsyncClient) -> None:
    """As after `calibrate --centre`: stored embeddings stay valid, and what was said of their pictures does not."""
    body = await compare_body(aligned_client, DIM, DIM_TOO) | {"conditions1": ["grey"], "conditions2": ["grey"]}
    answer = (await aligned_client.post("/compare", json=body)).json()
    assert (answer["conditions"], answer["warnings"]) == (None, [])
    assert answer["decision"] == (await verify(aligned_client, DIM, DIM_TOO))["decision"]


async def test_unknown_conditions_of_one_of_several_are_those_of_no_picture(its_client: httpx.AsyncClient) -> None:
    body = await compare_body(its_client, DIM, DIM_TOO)
    one, names = body["embedding1"], body["conditions1"]
    for unknown in ([None, None], [names, None]):
        several = body | {"embedding1": [one, one], "conditions1": unknown}
        answer = (await its_client.post("/compare", json=several)).json()
        assert answer["conditions"] is None
    known = body | {"embedding1": [one, one], "conditions1": [names, names]}
    assert (await its_client.post("/compare", json=known)).json()["conditions"] is not None


async def test_side_of_several_pictures_is_in_the_conditions_of_each(its_client: httpx.AsyncClient) -> None:
    several = files(("image1", MEDIUM), ("image1", LIGHT), ("image2", LIGHT_TOO))
    answer = (await its_client.post("/verify", files=several, data={"max_fmr": "0.01"})).json()
    assert (answer["conditions"], answer["decision"]) == (["overexposed"], "undecided")
    left = (await embed(its_client, MEDIUM, LIGHT))["data"]
    body = await compare_body(its_client, LIGHT, LIGHT_TOO) | {
        "embedding1": [each["embedding"] for each in left],
        "conditions1": [each["conditions"] for each in left],
        "max_fmr": 0.01,
    }
    compared = (await its_client.post("/compare", json=body)).json()
    assert (compared["conditions"], compared["decision"]) == (["overexposed"], "undecided")


async def test_unknown_condition_has_no_rate(its_client: httpx.AsyncClient) -> None:
    body = await compare_body(its_client, MEDIUM, MEDIUM) | {"conditions1": ["foggy"], "conditions2": ["foggy"]}
    answer = (await its_client.post("/compare", json=body | {"max_fmr": 0.01})).json()
    assert (answer["decision"], answer["fmr_at_similarity"]) == ("undecided", None)


@pytest.mark.parametrize("lists", [[["blurred"]], [["blurred"], [], None]])
async def test_a_list_of_conditions_is_needed_for_each_embedding(
    its_client: httpx.AsyncClient, lists: list[list[str] | None]
) -> None:
    body = await compare_body(its_client, MEDIUM, LIGHT)
    one = body["embedding1"]
    response = await its_client.post("/compare", json=body | {"embedding1": [one, one], "conditions1": lists})
    assert (response.status_code, response.json()["code"]) == (400, "malformed_json")
    assert response.json()["field"] == "conditions1"
    assert f"{len(lists)} lists of conditions for 2 embeddings" in response.json()["detail"]


@pytest.mark.parametrize("value", ["blurred", [1], {"blurred": True}, [["blurred"], 2], [[["blurred"]]]])
async def test_malformed_conditions_are_refused(its_client: httpx.AsyncClient, value: Any) -> None:
    body = await compare_body(its_client, MEDIUM, MEDIUM) | {"conditions2": value}
    response = await its_client.post("/compare", json=body)
    assert (response.status_code, response.json()["code"]) == (400, "malformed_json")
    assert response.json()["field"] == "conditions2"


async def test_whole_pictures_have_no_conditions(its_client: httpx.AsyncClient) -> None:
    answer = await verify(its_client, DIM, DIM_TOO, face="none", max_fmr="0.01")
    assert answer["conditions"] is None
    assert answer["decision"] != "undecided"
    assert (await embed(its_client, DIM, face="none"))["data"][0]["conditions"] is None


async def test_checkpoint_without_conditions_answers_as_before(aligned_client: httpx.AsyncClient) -> None:
    answer = await verify(aligned_client, DIM, DIM_TOO)
    assert answer["conditions"] is None
    assert answer["images"][0]["face"]["conditions"] is None


async def compare_body(client: httpx.AsyncClient, left: bytes, right: bytes) -> dict[str, Any]:
    """A request for /compare with the conditions of both embeddings."""
    answer = await embed(client, left, right)
    one, other = answer["data"]
    return {
        "embedding1": one["embedding"],
        "embedding2": other["embedding"],
        "conditions1": one["conditions"],
        "conditions2": other["conditions"],
        "embedding_sha256": answer["model"]["embedding_sha256"],
    }
