"""The benchmark of the runtimes; no test looks at how fast they were."""

import json
from pathlib import Path

from benchmarks import runtimes


def test_the_command_writes_both_runtimes_and_how_far_they_are_apart(checkpoint_path: Path, tmp_path: Path) -> None:
    arguments = ["--weights", str(checkpoint_path), "--rounds", "2", "--batches", "1", "3", "--out", str(tmp_path)]
    assert runtimes.main(arguments) == 0
    [path] = tmp_path.iterdir()
    figures = json.loads(path.read_text())["figures"]
    assert [(row["threads"], row["batch"]) for row in figures["table"]] == [(1, 1), (1, 3), (2, 1), (2, 3)]
    assert all(row["torch_ms"] > 0 and row["served_ms"] > 0 for row in figures["table"])
    assert all(row["embeddings_differ_by"] <= 1e-5 for row in figures["table"])
    assert figures["summary"]["torch_mib"] > figures["summary"]["served_mib"] > 0
    assert figures["summary"]["torch_start_cpu_s"] > figures["summary"]["served_start_cpu_s"] > 0
