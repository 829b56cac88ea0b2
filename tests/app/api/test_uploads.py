"""Uploads stay in memory, whatever their size."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.app.support.requests import ANNA, NO_FACES, check_problem, embed, verify
from tests.drawing import encode

pytestmark = pytest.mark.anyio

MEBIBYTE = 1024 * 1024


class Watch:
    """Notes every file that is opened to be written. An audit hook stays for good, so there is one, and a switch."""

    def __init__(self) -> None:
        self.on = False
        self.written: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.on and event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR):
                self.written.append(str(path))


WATCH = Watch()


@contextmanager
def watching() -> Iterator[list[str]]:
    """The files that are opened to be written meanwhile."""
    WATCH.written.clear()
    WATCH.on = True
    try:
        yield WATCH.written
    finally:
        WATCH.on = False


@pytest.fixture(scope="module")
def large() -> bytes:
    """A picture of 15 MiB: noise, which does not compress."""
    noise = np.random.default_rng(0).integers(0, 256, (2300, 2300, 3), np.uint8)
    data = encode(Image.fromarray(noise), compress_level=0)
    assert 15 * MEBIBYTE < len(data) < 20 * MEBIBYTE
    return data


def test_watch_sees_a_spooled_upload() -> None:
    with watching() as written, tempfile.SpooledTemporaryFile(max_size=MEBIBYTE) as spool:
        spool.write(bytes(MEBIBYTE))
        assert not written
        spool.write(b"1")
        assert written


def test_watch_sees_a_plain_file(tmp_path: Path) -> None:
    with watching() as written:
        (tmp_path / "upload").write_bytes(b"1")
    assert written == [str(tmp_path / "upload")]


async def test_two_large_images_touch_no_disk(client: httpx.AsyncClient, large: bytes) -> None:
    with watching() as written:
        answer = await verify(client, large, large)
    size = {"width": 2300, "height": 2300, "orientation": 1}
    assert answer["images"][1] == {"field": "image2", **size, "format": "PNG", **NO_FACES}
    assert not written


async def test_several_large_images_to_embed_touch_no_disk(client: httpx.AsyncClient, large: bytes) -> None:
    with watching() as written:
        assert len((await embed(client, large, ANNA, large))["data"]) == 3
    assert not written


async def test_a_refused_upload_touches_no_disk(client: httpx.AsyncClient, large: bytes) -> None:
    with watching() as written:
        response = await client.post("/verify", files={"image1": large + large, "image2": ANNA})
    check_problem(response, 413, "too_many_bytes", "image1")
    assert not written
