"""How cores are counted and shared out."""

import os
from pathlib import Path

import pytest

from app.cores import decoders_of, own_cores, queue_of, threads_of, uploads_of
from app.settings import Settings


@pytest.fixture
def sixteen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))


@pytest.mark.usefixtures("sixteen")
@pytest.mark.parametrize(
    ("text", "workers", "cores"),
    [
        (None, 1, 16),
        ("max 100000\n", 1, 16),
        ("max 100000\n", 5, 3),
        ("max 100000\n", 32, 1),
        ("200000 100000\n", 1, 2),
        ("350000 100000\n", 1, 3),
        ("50000 100000\n", 1, 1),
        ("6400000 100000\n", 2, 8),
        ("nonsense\n", 1, 16),
    ],
)
def test_cores_are_those_that_a_worker_can_count_on(tmp_path: Path, text: str | None, workers: int, cores: int) -> None:
    quota = tmp_path / "cpu.max"
    if text is not None:
        quota.write_text(text)
    assert own_cores(workers, quota) == cores


@pytest.mark.parametrize(
    ("cores", "threads", "decoders", "queue"), [(1, 1, 2, 6), (2, 1, 2, 6), (3, 1, 3, 9), (16, 8, 16, 48)]
)
def test_decoders_get_every_core_the_network_half_and_the_queue_follows(
    monkeypatch: pytest.MonkeyPatch, cores: int, threads: int, decoders: int, queue: int
) -> None:
    monkeypatch.setattr("app.cores.own_cores", lambda _: cores)
    settings = Settings()
    assert (threads_of(settings, finds_faces=True), decoders_of(settings), queue_of(settings)) == (
        threads,
        decoders,
        queue,
    )
    assert threads_of(settings, finds_faces=False) == cores
    assert uploads_of(settings) == max(16, queue)


def test_what_is_set_is_taken() -> None:
    settings = Settings(threads=7, decoders=1, queue=3, uploads=5)
    assert uploads_of(settings) == 5
    assert (threads_of(settings, finds_faces=True), decoders_of(settings), queue_of(settings)) == (7, 1, 3)
    assert threads_of(settings, finds_faces=False) == 7
