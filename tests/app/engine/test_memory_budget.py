"""How much memory an image may take, from the settings and a container's limit."""

from pathlib import Path

import pytest

from app.engine.memory_budget import decoder_memory_of
from app.settings import read_settings

MIB = 2**20
LARGEST = 18 * 64_000_000 + 4 * 20 * MIB + 256 * MIB


@pytest.mark.parametrize(
    ("limit", "decoders", "expected"),
    [
        (None, 2, LARGEST),
        ("max\n", 2, LARGEST),
        (f"{4 * 1024 * MIB}\n", 2, LARGEST),
        ("1000000000\n", 2, 500_000_000),
        ("1000000000\n", 3, 500_000_000),
        ("1000000000\n", 6, 125_000_000),
        ("1000000000\n", 1, 500_000_000),
    ],
)
def test_an_image_gets_what_it_needs_or_a_share(
    tmp_path: Path, limit: str | None, decoders: int, expected: int
) -> None:
    path = tmp_path / "memory.max"
    if limit is not None:
        path.write_text(limit)
    assert decoder_memory_of(read_settings({"decoders": decoders}, environment={}), path) == expected


def test_a_setting_counts_more_than_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "memory.max"
    path.write_text("1000000000\n")
    settings = read_settings({"decoder_memory_bytes": 100 * MIB}, environment={})
    assert decoder_memory_of(settings, path) == 100 * MIB
