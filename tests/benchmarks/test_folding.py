"""The benchmark of the folded network; no test looks at how fast it was."""

import json
from pathlib import Path

from benchmarks import folding


def test_the_command_writes_both_networks_and_how_far_they_are_apart(checkpoint_path: Path, tmp_path: Path) -> None:
    arguments = ["--weights", str(checkpoint_path), "--rounds", "2", "--batches", "1", "3", "--out", str(tmp_path)]
    assert folding.main(arguments) == 0
    [path] = tmp_path.iterdir()
    record = json.loads(path.read_text())
    assert [row["batch"] for row in record["figures"]["table"]] == [1, 3]
    assert all(row["trained_ms"] > 0 and row["served_ms"] > 0 for row in record["figures"]["table"])
    assert all(row["embeddings_differ_by"] <= 1e-5 for row in record["figures"]["table"])
    assert record["figures"]["summary"] == {"model": "tiny", "threads": 1, "rounds": 2}
