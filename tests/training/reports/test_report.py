"""The report and the gallery, from a real run on drawn people."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.errors import DataError
from tests.training.support.small_pairs import SMALL, run
from training.commands.report import FINDINGS_FILE, write_report
from training.data.album import Album
from training.data.datasets import PairData
from training.data.lists import read_pairs, resolve
from training.learning.experiments import BEST_FOLDER, GRID_BASE
from training.learning.grid import GRID_FOLDER, Grid
from training.learning.history import METRICS_FILE, write_metrics
from training.reports.gallery import asymmetry, probable_causes, write_gallery
from training.reports.literature import REFERENCES
from training.runs.finish import finish
from training.runs.results import RESULT_FILE, read_run


@pytest.fixture(scope="module")
def results(people: Path, data: PairData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one finished run that bears the name of Experiment 2."""
    folder = tmp_path_factory.mktemp("results")
    experiment = replace(SMALL, name="experiment-2")
    path = people / "test.txt"
    test = resolve(path, read_pairs(path), data.album)
    place = folder / "experiment-2"
    finish(experiment, run(experiment, data, place), data, test, place, "code")
    return folder


def reproduction(results: Path, out: Path) -> str:
    return write_report(results, out)[0].read_text()


def test_run_is_read_back(results: Path, people: Path) -> None:
    found = read_run(results / "experiment-2")
    assert len(found.scores) == len(read_pairs(people / "test.txt"))
    shown = ((found.scores >= 0.5) == found.same).mean()
    assert found.metric("accuracy at 0.5").value == pytest.approx(float(shown))
    with pytest.raises(DataError, match="no colour"):
        found.metric("colour")


@pytest.mark.parametrize(
    ("name", "rest"),
    [("metrics.jsonl", 0), ("test-scores.csv", 0), ("test-scores.csv", 30), ("test-scores.csv", 60)],
)
def test_truncated_run_is_refused(results: Path, tmp_path: Path, name: str, rest: int) -> None:
    copy = tmp_path / "run"
    shutil.copytree(results / "experiment-2", copy)
    (copy / name).write_bytes((copy / name).read_bytes()[:rest])
    with pytest.raises(DataError, match="cannot be read as the results of a run"):
        read_run(copy)


def test_report_compares_with_the_reference(results: Path, tmp_path: Path) -> None:
    (results / FINDINGS_FILE).write_text("## What agrees\n\nNothing yet.\n")
    text = reproduction(results, tmp_path)
    for reference in REFERENCES:
        assert reference.system in text
        assert f"{reference.test_accuracy:.2%}" in text
    missing = re.search(r"Not run yet: (.*)\.", text)
    assert missing
    assert "Experiment 1" in missing[1]
    assert "Experiment 2" not in missing[1]
    accuracy = read_run(results / "experiment-2").metric("accuracy at 0.5")
    assert f"{accuracy.value:.2%}" in text
    assert "Nothing yet." in text
    for picture in re.findall(r"!\[[^]]*\]\(([^)]*)\)", text):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG"), picture


def test_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder with a test-scores"):
        write_report(tmp_path, tmp_path / "out")


def test_folder_with_only_smoke_runs_is_refused(results: Path, tmp_path: Path) -> None:
    shutil.copytree(results / "experiment-2", tmp_path / "results" / "smoke")
    with pytest.raises(DataError, match="only the run smoke"):
        write_report(tmp_path / "results", tmp_path / "out")


def test_runs_that_were_not_tested_are_left_out(results: Path, tmp_path: Path) -> None:
    copy = tmp_path / "results"
    shutil.copytree(results / "experiment-2", copy / "experiment-2")
    shutil.copytree(results / "experiment-2", copy / "untested")
    (copy / "untested" / "test-scores.csv").unlink()
    assert "untested" not in reproduction(copy, tmp_path / "out")


def test_known_points_of_the_grid_are_listed(results: Path, tmp_path: Path) -> None:
    copy = tmp_path / "results"
    shutil.copytree(results, copy)
    row = read_run(results / "experiment-2").history[0]
    folder = copy / GRID_FOLDER / Grid(base=GRID_BASE).trajectories()[1].name
    folder.mkdir(parents=True)
    write_metrics(folder / METRICS_FILE, [row] * 30)
    text = reproduction(copy, tmp_path / "out")
    assert len(re.findall(r"^\| 128 \| 0\.0001 \|", text, re.MULTILINE)) == 9


def test_best_of_the_grid_has_its_own_row(results: Path, tmp_path: Path) -> None:
    copy = tmp_path / "results"
    shutil.copytree(results, copy)
    best = copy / GRID_FOLDER / BEST_FOLDER
    shutil.copytree(results / "experiment-2", best)
    text = (best / RESULT_FILE).read_text()
    (best / RESULT_FILE).write_text(text.replace('"name": "experiment-2"', f'"name": "{BEST_FOLDER}"'))
    page = reproduction(copy, tmp_path / "out")
    assert len(re.findall(rf"^\| {BEST_FOLDER} \| ours \|", page, re.MULTILINE)) == 1
    assert f"![{BEST_FOLDER}](curves-{BEST_FOLDER}.png)" in page
    assert BEST_FOLDER not in (tmp_path / "out" / "accuracy.md").read_text()


def test_gallery_shows_every_listed_pair(results: Path, album: Album, tmp_path: Path) -> None:
    path = tmp_path / "gallery.html"
    write_gallery(path, read_run(results / "experiment-2"), album)
    page = path.read_text()
    assert page.count("<img") == 2 * page.count("<figure>") > 0
    assert "Person_0/Person_0_0001" in page
    assert "http" not in page


def test_gallery_shows_colour_pictures(results: Path, album: Album, tmp_path: Path) -> None:
    coloured = replace(album, pixels=album.pixels[:][..., None].expand(-1, -1, -1, 3).contiguous())
    for name, pictures in (("grey", album), ("coloured", coloured)):
        write_gallery(tmp_path / name, read_run(results / "experiment-2"), pictures)
    without_pictures = [re.sub(r"base64,[^\"]*", "", (tmp_path / name).read_text()) for name in ("grey", "coloured")]
    assert without_pictures[0] == without_pictures[1]


def test_gallery_with_other_pictures_is_refused(results: Path, album: Album, tmp_path: Path) -> None:
    other = replace(album, keys=[("someone", f"else_{i}") for i in range(len(album.keys))])
    with pytest.raises(DataError, match="Person_"):
        write_gallery(tmp_path / "gallery.html", read_run(results / "experiment-2"), other)
    assert not list(tmp_path.iterdir())


def test_unwritable_gallery_is_refused(results: Path, album: Album, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        write_gallery(tmp_path / "file" / "gallery.html", read_run(results / "experiment-2"), album)


def test_probable_causes_of_a_picture() -> None:
    rows, columns = np.mgrid[0:40, 0:40]
    board = (((rows + np.abs(2 * columns - 39) // 2) % 2) * 255).astype(np.uint8)
    flat = np.full((40, 40), 100, np.uint8)
    halves = np.where(columns < 20, 20, 220).astype(np.uint8)
    assert asymmetry(halves) == 200
    assert asymmetry(flat) == 0
    assert probable_causes(board, board) == []
    assert any("blurred" in cause for cause in probable_causes(flat, board))
    assert any("lit differently" in cause for cause in probable_causes(flat, np.full((40, 40), 200, np.uint8)))
