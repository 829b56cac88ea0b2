"""Processes that end lose their task alone, which another begins again."""

from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from model.checkpoint import load
from model.errors import DataError, TrainingError
from tests.training.support.ending_embedder import open_ending
from tests.training.support.ending_work import open_square, refuse
from training.bulk.image_files import ImageTask
from training.bulk.listing import Listing
from training.bulk.workers import run_tasks


def test_tasks_of_processes_that_end_are_done_by_others(tmp_path: Path) -> None:
    found = list(run_tasks(partial(open_square, tmp_path), range(7), 2, 1))
    assert sorted(found) == [number**2 for number in range(7)]
    assert {path.name for path in tmp_path.iterdir()} == {"0", "3", "6"}


def test_errors_are_raised_and_endless_ends_too(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="7 is refused"):
        list(run_tasks(partial(open_square, tmp_path), [7], 1, 1))
    with pytest.raises(DataError, match="cannot be opened"):
        list(run_tasks(refuse, [1, 2, 3], 1, 1))
    with pytest.raises(TrainingError, match=r"2 processes ended at one task, the last with status -9; "):
        list(run_tasks(partial(open_square, tmp_path), [-1], 1, 1))


def test_picture_that_ends_processes_costs_itself_alone(
    checkpoint_path: Path, photographs: Path, tmp_path: Path
) -> None:
    digest = load(checkpoint_path).header.checkpoint_sha256
    task = ImageTask(weights=checkpoint_path, checkpoint_sha256=digest, device="cpu", choice="none")
    [part] = Listing.of(photographs).parts(tmp_path, task)
    [counts] = run_tasks(partial(open_ending, task), [part], 1, 2)
    assert (counts.files, counts.embeddings) == (11, 6)
    assert counts.problems["undecodable_image"] == 2
    rows = pq.read_table(part.path).to_pylist()
    assert [row["code"] for row in rows if row["path"] == "b/crowd.webp"] == ["undecodable_image"]
    assert [path for path in tmp_path.iterdir() if path != part.path] == []
