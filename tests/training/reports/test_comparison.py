"""`runs compare`: a table, McNemar's test on the same pairs, and a picture."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.checkpoint import Header
from tests.training.support.small_runs import ROW, write_run
from training.__main__ import main
from training.learning.history import METRICS_FILE, write_metrics
from training.runs.results import RESULT_FILE, SCORES_FILE, read_run

NAMES = [f"P{person}/P{person}_{picture}" for person in range(8) for picture in range(3)]
PAIRS = list(combinations(NAMES, 2))[::2]
SAME = np.array([left[:2] == right[:2] for left, right in PAIRS])


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two runs tested on the same pairs, the second in another order; they differ in two values."""
    draws = np.random.default_rng(0)
    found = []
    for name, noise, epochs in (("first", 0.3, 40), ("second", 0.5, 3)):
        order = draws.permutation(len(PAIRS))
        scores = np.clip(0.5 + np.where(SAME, 0.2, -0.2) + draws.normal(0, noise, len(PAIRS)), 0, 1)
        folder = write_run(tmp_path / name, [PAIRS[i] for i in order], scores[order])
        header = Header.model_validate_json((folder / RESULT_FILE).read_bytes())
        values = json.dumps(
            {"name": name, "epochs": epochs, "augmentation": {"rotation_deg": epochs / 4, "gamma": 0.4}}
        )
        provenance = header.provenance.model_copy(update={"experiment": values})
        (folder / RESULT_FILE).write_text(header.model_copy(update={"provenance": provenance}).model_dump_json())
        write_metrics(folder / METRICS_FILE, [ROW] * 2)
        found.append(folder)
    return found[0], found[1]


def right(folder: Path) -> dict[tuple[str, str], bool]:
    """Which pairs are decided correctly, at the threshold of 0.5, by a loop over the file's rows."""
    rows = [line.split(",") for line in (folder / SCORES_FILE).read_text().splitlines()[1:]]
    return {(left, other): (float(score) >= 0.5) == (same == "1") for left, other, same, score in rows}


def test_the_table_the_test_and_the_picture(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "both.png"
    assert main(["runs", "compare", *map(str, folders), "--out", str(picture)]) == 0
    shown = capsys.readouterr().out
    lines = {cells[1].strip(): [cell.strip() for cell in cells[2:-1]] for line in shown.splitlines()
             if len(cells := line.split("|")) > 3}  # fmt: skip
    assert lines[""][:2] == ["first", "second"]
    one, other = (read_run(folder).metric("accuracy at threshold") for folder in folders)
    cells = lines["test accuracy at threshold"]
    assert cells[0].startswith(f"{one.value:.4f} (") and cells[0].endswith(f"n={len(PAIRS)}")  # noqa: PT018
    assert cells[2] == f"{other.value - one.value:+.4f}"
    assert lines["epochs"] == ["40", "3", ""]
    assert lines["augmentation.rotation_deg"] == ["10.0", "0.75", ""]
    assert "augmentation.gamma" not in lines  # equal
    first, second = map(right, folders)
    alone = [
        sum(ours[pair] and not theirs[pair] for pair in PAIRS) for ours, theirs in ((first, second), (second, first))
    ]
    assert f"only first is right on {alone[0]}, only second on {alone[1]}, p = " in shown
    assert f"on the {len(PAIRS)} test pairs of both" in shown
    with Image.open(picture) as drawing:
        colours = {colour for _, colour in drawing.convert("RGB").getcolors(1 << 24) or []}
    assert {(31, 119, 180), (255, 127, 14)} <= colours  # matplotlib's C0 and C1: a curve of each run


def test_pairs_of_one_run_alone_are_said(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = folders[0] / SCORES_FILE
    path.write_text("\n".join(path.read_text().splitlines()[:-2]) + "\n")
    assert main(["runs", "compare", *map(str, folders), "--out", str(tmp_path / "both.png")]) == 0
    shown = capsys.readouterr().out
    assert f"on the {len(PAIRS) - 2} test pairs of both" in shown
    assert "2 pairs of second are not among the other's." in shown


def test_runs_that_cannot_be_compared_are_refused(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_run(tmp_path / "other", [(f"x{a}", f"x{b}") for a, b in PAIRS], np.linspace(0, 1, len(PAIRS)))
    compare = ["runs", "compare", str(folders[0])]
    out = ["--out", str(tmp_path / "both.png")]
    assert main([*compare, str(other), *out]) == 1
    assert "first and other were tested on different pairs" in capsys.readouterr().err
    (folders[1] / SCORES_FILE).unlink()
    assert main([*compare, str(folders[1]), *out]) == 1
    assert "second: the run was not tested; --resume it without --no-test" in capsys.readouterr().err
    assert main([*compare, str(tmp_path / "absent"), *out]) == 1
    assert not (tmp_path / "both.png").exists()
