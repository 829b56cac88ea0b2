"""How cores are counted and shared out."""

import os
from pathlib import Path

import pytest

from app.engine.cpu_budget import (
    cores_of,
    decoders_of,
    first_slots,
    large_images_of,
    large_pixels_of,
    own_cores,
    queue_of,
    threads_of,
)
from app.settings import Settings


@pytest.fixture
def sixteen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))


@pytest.mark.usefixtures("sixteen")
@pytest.mark.parametrize(
    ("text", "cores"),
    [
        (None, 16),
        ("max 100000\n", 16),
        ("200000 100000\n", 2),
        ("350000 100000\n", 3),
        ("50000 100000\n", 1),
        ("6400000 100000\n", 16),
        ("nonsense\n", 16),
    ],
)
def test_own_cores_respect_affinity_and_quota(tmp_path: Path, text: str | None, cores: int) -> None:
    quota = tmp_path / "cpu.max"
    if text is not None:
        quota.write_text(text)
    assert own_cores(quota) == cores


@pytest.mark.parametrize(("cores", "decoders", "queue"), [(1, 2, 256), (2, 3, 256), (3, 4, 384), (16, 17, 2048)])
def test_defaults_for_a_number_of_cores(monkeypatch: pytest.MonkeyPatch, cores: int, decoders: int, queue: int) -> None:
    monkeypatch.setattr("app.engine.cpu_budget.own_cores", lambda: cores)
    settings = Settings()
    assert (threads_of(settings), cores_of(settings)) == (cores, cores)
    assert (decoders_of(settings), queue_of(settings)) == (decoders, queue)
    assert first_slots() == max(10, 5 * cores)
    assert large_pixels_of(settings) == cores * 64_000_000


@pytest.mark.parametrize(("decoders", "large"), [(1, 1), (2, 1), (3, 1), (4, 2), (17, 15)])
def test_a_core_is_left_to_small_images(decoders: int, large: int) -> None:
    assert large_images_of(decoders) == large


def test_settings_override_the_defaults() -> None:
    settings = Settings(threads=7, decoders=1, queue=3, large_pixels=2000)
    assert large_pixels_of(settings) == 2000
    assert (decoders_of(settings), queue_of(settings)) == (1, 3)
    assert threads_of(settings) == 7


def test_cores_that_are_not_used_are_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.engine.cpu_budget.own_cores", lambda: 64)  # as without cgroup v2
    assert cores_of(Settings(threads=2, decoders=3)) == 3
    assert cores_of(Settings(threads=2)) == 64
