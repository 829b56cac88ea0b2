"""Where a run is wrong: bins over what was measured of faces, against slow loops, and the command that makes them."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from model.imaging.quality import Quality
from tests.drawing import encode, portrait
from tests.training.support.small_faces import draw_faces
from tests.training.support.small_runs import write_run
from training.__main__ import main
from training.data.album import MeasuredFace
from training.data.preparation import open_album
from training.learning.experiments import ALIGNED
from training.measuring.error_analysis import tables_of
from training.runs.records import Bin, ErrorAnalysis
from training.runs.results import ERRORS_FILE
from training.statistics.rates import Labels, wilson

Pair = tuple[MeasuredFace, MeasuredFace]


def faces(count: int) -> tuple[list[Pair], Labels, Labels]:
    """Pairs of measured faces, which are decided rightly and which are of one person."""
    draws = np.random.default_rng(0)

    def face() -> MeasuredFace:
        yaw, eyes, sharp = draws.uniform(-50, 50), draws.uniform(10, 60), draws.uniform(5, 500)
        quality = Quality(inter_eye_px=eyes, sharpness=sharp, brightness=100.0, roll_deg=0.0, yaw_deg=yaw)
        return MeasuredFace(count=int(draws.integers(1, 4)), quality=quality)

    return [(face(), face()) for _ in range(count)], draws.random(count) < 0.8, draws.random(count) < 0.5


def counted(inside: list[bool], right: Labels, same: Labels) -> tuple[int, int, int, int]:
    chosen = [i for i, is_inside in enumerate(inside) if is_inside]
    genuine = [i for i in chosen if same[i]]
    return len(chosen), sum(bool(right[i]) for i in chosen), len(genuine), sum(bool(right[i]) for i in genuine)


def shown(found: Bin) -> tuple[int, int, int, int]:
    return found.pairs, found.right, found.genuine, found.genuine_right


def test_pairs_are_binned_by_the_worse_face() -> None:
    pairs, right, same = faces(400)
    turned, several, eyes, sharp = tables_of(pairs, right, same).values()
    yaws = [max(abs(a.quality.yaw_deg), abs(b.quality.yaw_deg)) for a, b in pairs]
    for found, (low, high) in zip(turned, [(0, 10), (10, 20), (20, 30), (30, 90)], strict=True):
        assert found.label == f"{low} to {high}"
        assert shown(found) == counted([low <= yaw < high for yaw in yaws], right, same)
        share = wilson(found.right, found.pairs)
        assert found.interval == (share.low, share.high)
    crowded = [max(a.count, b.count) > 1 for a, b in pairs]
    assert [shown(found) for found in several] == [
        counted([not each for each in crowded], right, same), counted(crowded, right, same),
    ]  # fmt: skip
    for table, values in (
        (eyes, [min(a.quality.inter_eye_px, b.quality.inter_eye_px) for a, b in pairs]),
        (sharp, [min(a.quality.sharpness, b.quality.sharpness) for a, b in pairs]),
    ):
        edges = [float(np.percentile(values, q)) for q in (0, 25, 50, 75, 100)]
        for found, start, end in zip(table, edges[:-1], edges[1:], strict=True):
            inside = [start <= value < end or value == end == edges[-1] for value in values]
            assert shown(found) == counted(inside, right, same)


def test_every_pair_is_in_one_bin_of_each_table() -> None:
    pairs, right, same = faces(50)
    alike = [(a, a) for a, _ in pairs[:1]] * 50
    for each in (pairs, alike):
        for table in tables_of(each, right, same).values():
            assert sum(found.pairs for found in table) == 50


def test_tables_without_faces_have_no_bins() -> None:
    none = np.array([], dtype=bool)
    assert not any(tables_of([], none, none).values())


def test_command_writes_the_analysis(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = draw_faces(tmp_path / "data")
    (folder / "people" / "Person_4" / "Person_4_0001.png").write_bytes(encode(portrait(4)))
    album = open_album(folder / "people", tmp_path / "cache", ALIGNED)
    names = ["/".join(key) for key in sorted([*album.keys, *album.faceless])]
    pairs = list(combinations(names, 2))[::3]
    scores = np.random.default_rng(0).random(len(pairs))
    run = write_run(tmp_path / "run", pairs, scores)
    arguments = ["errors", str(run), "--data", str(folder), "--images", "people", "--cache", str(tmp_path / "cache")]
    assert main(arguments) == 0
    found = ErrorAnalysis.model_validate_json((run / ERRORS_FILE).read_bytes())
    hidden = sum("Person_4/Person_4_0001" in pair for pair in pairs)
    assert (found.name, found.pairs, found.faceless) == ("run", len(pairs), hidden)
    assert all(sum(each.pairs for each in table) == len(pairs) - hidden for table in found.tables.values())
    assert [each.label for each in found.tables["another face in a picture"]] == ["in neither", "in one or both"]
    assert list(found.hardest) == [
        "wrong, one person, surest", "wrong, two people, surest", "right, one person, narrowest",
        "right, two people, narrowest",
    ]  # fmt: skip
    surest = found.hardest["wrong, two people, surest"][0]
    scored = dict(zip(pairs, scores, strict=True))
    strangers = {pair: scored[pair] for pair in pairs if pair[0].split("/")[0] != pair[1].split("/")[0]}
    assert surest.similarity == max(strangers.values()) == strangers[surest.left, surest.right]
    assert f"{len(pairs)} pairs, {hidden} without a face" in capsys.readouterr().out


def test_pictures_of_another_data_set_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = draw_faces(tmp_path / "data")
    run = write_run(tmp_path / "run", [("A/1", "A/2"), ("A/1", "B/1")], np.array([0.9, 0.1]))
    arguments = ["errors", str(run), "--data", str(folder), "--images", "people", "--cache", str(tmp_path / "cache")]
    assert main(arguments) == 1
    assert "the run's pictures are missing" in capsys.readouterr().err
    assert not (run / ERRORS_FILE).exists()
