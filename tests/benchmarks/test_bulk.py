"""The benchmark of bulk work measures what it says."""

from pathlib import Path

import pytest

from benchmarks.bulk import Cost, command_cost, compare, stage_costs
from model.errors import DataError
from tests.drawing import encode
from tests.faces import head_at, scene


def test_ratios_leave_out_the_start() -> None:
    stages = [Cost(cpu_s=3.0, wall_s=2.0), Cost(cpu_s=6.0, wall_s=2.0)]
    found = compare(stages, Cost(cpu_s=12.0, wall_s=7.0), Cost(cpu_s=2.0, wall_s=2.0))
    assert found == {"ratio_of_processor_time": pytest.approx(0.9), "ratio_to_cores": pytest.approx(0.8)}


def test_stages_and_command_cost_processor_time(aligned_checkpoint_path: Path, tmp_path: Path) -> None:
    files = [tmp_path / f"{person}.png" for person in range(2)]
    for person, path in enumerate(files):
        path.write_bytes(encode(scene(head_at(person))))
    stages = stage_costs(aligned_checkpoint_path, files, 1)
    assert all(cost.cpu_s > 0 for cost in stages.values())
    assert stages["face"].wall_s > stages["decode"].wall_s / 10
    with pytest.raises(DataError, match=r"the command failed: error: .*absent"):
        command_cost(aligned_checkpoint_path, tmp_path / "absent", tmp_path / "out.npy")
