"""A model that sees whole pictures finds no faces, and says so when it is asked for them."""

import httpx
import pytest

from tests.app.support.requests import ANNA, check_problem, embed, files, pair, verify

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("choice", ["largest", "center", "only"])
async def test_a_choice_of_faces_is_refused(client: httpx.AsyncClient, choice: str) -> None:
    for path, body in (("/verify", pair()), ("/embed", files(("image", ANNA)))):
        response = await client.post(path, files=body, data={"face": choice})
        check_problem(response, 409, "whole_pictures", "face")


async def test_all_faces_are_refused(client: httpx.AsyncClient) -> None:
    response = await client.post("/embed", files=files(("image", ANNA)), data={"face": "all"})
    check_problem(response, 409, "whole_pictures", "face")


async def test_detect_is_refused(client: httpx.AsyncClient) -> None:
    check_problem(await client.post("/detect", files=files(("image", ANNA))), 409, "whole_pictures")


@pytest.mark.parametrize("choice", ["none", "", " none "])
async def test_none_changes_nothing(client: httpx.AsyncClient, choice: str) -> None:
    answer = await verify(client, face=choice)
    assert answer["similarity"] == (await verify(client))["similarity"]
    assert [image["warnings"] for image in answer["images"]] == [[], []]
    assert (await embed(client, ANNA, face=choice))["data"] == (await embed(client, ANNA))["data"]


async def test_unknown_choice_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post("/verify", files=pair(), data={"face": "all"})
    check_problem(response, 400, "invalid_field", "face")
