"""The files of the page, and what surrounds them."""

import re

import httpx
import pytest

from app.page.routes import FILES, FOLDER
from app.settings import Settings
from model.verifier import Verifier
from tests.app.support.requests import check_problem
from tests.conftest import client_of

pytestmark = pytest.mark.anyio

MAX_BYTES = 50_000
PATHS = {"/" if name == "index.html" else f"/page/{name}": kind for name, kind in FILES.items()}


def test_every_file_is_served_and_all_are_small() -> None:
    files = {path for path in FOLDER.iterdir() if path.suffix not in {".py", ""}}
    assert {path.name for path in files} == set(FILES)
    assert sum(path.stat().st_size for path in files) < MAX_BYTES


@pytest.mark.parametrize(("path", "kind"), PATHS.items())
async def test_files_are_answered_with_their_type_and_policy(client: httpx.AsyncClient, path: str, kind: str) -> None:
    response = await client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == (f"{kind}; charset=utf-8" if kind.startswith("text/") else kind)
    assert response.headers["x-content-type-options"] == "nosniff"
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert (await client.head(path)).headers["content-length"] == response.headers["content-length"]


async def test_the_page_has_nothing_inline_and_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    text = (await client.get("/")).text
    assert not re.findall(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", text)
    links = re.findall(r"""(?:src|href)=["']([^"']+)""", text)
    assert {"page/page.css", "page/page.js", "docs"} <= set(links)
    for link in set(links) - {"data:,"}:
        assert (await client.get(f"/{link}")).status_code == 200
    for name in (name for name, kind in FILES.items() if kind.startswith("text/")):
        for module in re.findall(r'from "\./([\w.]+)"', (FOLDER / name).read_text()):
            assert module in FILES
        assert "innerHTML" not in (FOLDER / name).read_text()


async def test_a_setting_takes_the_page_away(settings: Settings, verifier: Verifier) -> None:
    async with client_of(settings.model_copy(update={"page": "off"}), verifier) as client:
        for path in PATHS:
            check_problem(await client.get(path), 404, "not_found")
        assert (await client.get("/docs")).status_code == 200
