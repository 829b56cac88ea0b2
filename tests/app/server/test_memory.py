"""The service's memory stays below the ceiling of docs/operations.md, however many photographs come at once."""

import asyncio
from pathlib import Path

import pytest

from app.settings import read_settings
from benchmarks.memory import drawn_file, growth_bytes, most_growth_bytes, resident_now, send_at_once
from tests.app.support.service import serving

SIZE = (3000, 2400)
UPLOADS = 24
# Decoded all together, so many pictures would take twice the ceiling.
SMALL = {"queue": 16, "max_pixels": SIZE[0] * SIZE[1], "max_image_bytes": 8 * 2**20, "decoders": 2}
SMALL["held_bytes"] = 16 * SMALL["max_image_bytes"]
SMALL["max_request_bytes"] = SMALL["max_image_bytes"]  # each request has one image


@pytest.mark.parametrize("form", ["progressive JPEG", "WebP with transparency"])
def test_many_large_uploads_stay_below_the_ceiling(aligned_checkpoint_path: Path, form: str) -> None:
    ceiling = most_growth_bytes(read_settings(SMALL, environment={}))
    flags = [text for name, value in SMALL.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    data = drawn_file(form, SIZE)
    with serving(aligned_checkpoint_path, "--deadline-s", "300", *flags) as service:
        before = resident_now(service.process.pid)
        statuses = asyncio.run(send_at_once(service.url, data, UPLOADS))
        growth = growth_bytes(before)
    assert set(statuses) <= {200, 429}
    assert statuses[200] >= 2
    assert growth <= ceiling
