"""Turns, ratios and records."""

import json
from pathlib import Path

import torch

from benchmarks.machine import describe_machine
from benchmarks.record import Figures, Record, format_record, write_record
from benchmarks.timing import Work, against_product, interleave, spread

CPU = torch.device("cpu")


def test_works_take_turns_after_an_unmeasured_call_of_each() -> None:
    now, log = 0.0, []

    def work(name: str, seconds: float) -> None:
        nonlocal now
        now += seconds
        log.append(name)

    works = {"a": Work(run=lambda: work("a", 1), calls=2), "b": Work(run=lambda: work("b", 5))}
    assert interleave(works, 2, CPU, clock=lambda: now) == {"a": [1, 1], "b": [5, 5]}
    assert "".join(log) == "ab" + "aab" * 2


def test_a_ratio_is_of_rates_in_the_same_round() -> None:
    # 30 operations in 1 s and 2 s beside a product of 60 in 1 s and 4 s: 30/60 and 15/15
    assert against_product(30, [1, 2], 60, [1, 4]) == [0.5, 1.0]
    assert spread("ratio", [3, 1, 9]) == {"ratio": 3, "ratio_low": 1, "ratio_high": 9}


def test_a_record_is_dated_complete_and_readable(tmp_path: Path) -> None:
    figures = Figures(summary={"model": "tiny"}, table=[{"batch": 1, "rate": 1234.56}, {"batch": 16, "rate": 0.98765}])
    record = Record(
        name="network",
        utc="2025-01-02T03:04:05+00:00",
        command="python -m benchmarks.network",
        code_version="abc",
        machine=describe_machine(CPU),
        figures=figures,
    )
    path = write_record(record, tmp_path / "results")
    assert path == tmp_path / "results" / "network-2025-01-02.json"
    stored = json.loads(path.read_text())
    assert stored["machine"]["torch"] == torch.__version__
    assert all(stored["machine"][key] for key in ("cpu", "cores", "memory_gib", "system", "python", "threads"))
    assert (stored["machine"]["device"], stored["machine"]["gpu"]) == ("cpu", None)
    assert stored["figures"]["table"][1] == {"batch": 16, "rate": 0.98765}
    lines = format_record(record).splitlines()
    assert lines[-3:] == ["batch    rate", "    1    1235", "   16  0.9877"]
