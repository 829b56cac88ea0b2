"""The files that a siege sends, what is made of its results, and two attacks on a real service."""

from collections import Counter
from pathlib import Path

import uvloop

from benchmarks.siege.__main__ import Bounds, Result, besiege, siege_figures
from benchmarks.siege.attacks import ATTACKS
from benchmarks.siege.good_client import Seen
from benchmarks.siege.hostile_files import FLAT_SIDE_PX, damaged_files, promising_png
from model.imaging.headers import read_header

SIGNATURES = (b"\xff\xd8", b"\x89PNG", b"RIFF")


def seen(median_ms: float | None, requests: int = 4, answered: int = 4) -> Seen:
    return Seen(requests=requests, answered=answered, sent_again=1, median_ms=median_ms)


def test_damaged_files_are_many_different_ones_and_the_same_each_time() -> None:
    files = list(damaged_files(300))
    assert files == list(damaged_files(300))
    assert len(set(files)) > 290
    assert sum(file.startswith(SIGNATURES) for file in files) > 150, "a decoder would see none of the others"


def test_a_promising_image_promises_many_pixels() -> None:
    assert read_header(promising_png()).pixels == FLAT_SIDE_PX**2


def test_attacks_have_names_of_their_own() -> None:
    assert len({row.name for row in ATTACKS}) == len(ATTACKS)


def test_figures_of_known_results() -> None:
    before, after = seen(10.0), seen(12.0)
    results = [
        Result(row=row, before=before, during=during, after=after, counts=Counter(b=2, a=1), attacker_cores=0.5,
               own_bytes=2**20 * number)
        for number, (row, during) in enumerate(zip(ATTACKS, (seen(25.0), seen(None, answered=0)), strict=False), 1)
    ]  # fmt: skip
    figures = siege_figures(results)
    assert figures.summary == {
        "attacks": 2, "lowest_success_during": 0.0, "highest_median_ratio": 2.5, "least_mib": 1.0, "most_mib": 2.0,
    }  # fmt: skip
    first, second = figures.table
    assert (first["attack"], first["counts"], first["success_during"]) == (ATTACKS[0].name, "a: 1, b: 2", 1.0)
    assert (first["median_ratio"], second["median_ratio"], second["success_during"]) == (2.5, None, 0.0)


def test_a_real_service_is_besieged(checkpoint_path: Path) -> None:
    rows = [row for row in ATTACKS if row.name in ("slow uploads", "malformed requests")]
    bounds = Bounds(before_s=0.5, during_s=1.0, after_s=0.5, per_s=4.0)
    slow, malformed = uvloop.run(besiege(checkpoint_path, "cpu", rows, bounds))
    assert slow.counts["connections"] >= 100
    assert set(malformed.counts) <= {"200", "400", "404", "405", "431", "501", "no answer"}
    assert malformed.counts["400"] > 0
    for result in (slow, malformed):
        assert result.during.success == 1.0
        assert result.attacker_cores > 0
