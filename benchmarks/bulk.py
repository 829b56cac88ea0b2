"""`python -m benchmarks.bulk`: `python -m training embed` against the processor time of its stages, on LFW's pictures.

The stages run alone on the same files, in one single-threaded process per core at the same time. Then the command runs
as a user starts it. Its start is measured with files that are absent, and subtracted: for a million photographs it is
nothing. Processor time hardly depends on what else the machine does; wall time does.
"""

import argparse
import os
import resource
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.command import add_weights, new_parser, run_benchmark
from benchmarks.record import Figures
from model.checkpoint import load
from model.errors import DataError
from model.imaging.analysis import Choice, analyse
from model.imaging.decoding import decode
from model.imaging.detection import FaceFinder
from model.verifier import Verifier
from training.bulk.image_files import MAX_BATCH
from training.bulk.parts import PART_FILES
from training.data import cropping

STAGES = ("decode", "face", "network")
BARRIER_S = 300.0
# Makes all processes start each stage together; every process gets it at its start.
_barrier: Barrier


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Seconds of processor time, of all processes together, and of wall time."""

    cpu_s: float
    wall_s: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    parser = new_parser(
        "bulk", "benchmarks.bulk", "Times the embedding of many files and its stages.", rounds=2, cpu_alone=True
    )
    add_weights(parser)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("FACEPAIR_LFW", "lfw")), help="folder of LFW's archive"
    )
    parser.add_argument("--pictures", type=int, default=600, help="about how many, evenly over the archive")
    return run_benchmark(parser, arguments, _measure)


def stage_costs(weights: Path, files: Sequence[Path], cores: int) -> dict[str, Cost]:
    """The cost of each stage for all files: processor time, and wall time of the slowest process."""
    context = get_context("spawn")
    shares = [files[number::cores] for number in range(cores)]
    with ProcessPoolExecutor(
        cores, mp_context=context, initializer=_join, initargs=(context.Barrier(cores),)
    ) as processes:
        found = list(processes.map(_stages, [weights] * cores, shares))
    return {
        stage: Cost(cpu_s=sum(each[stage].cpu_s for each in found), wall_s=max(each[stage].wall_s for each in found))
        for stage in STAGES
    }


def command_cost(weights: Path, source: Path, out: Path) -> Cost:
    """The cost of the command in processes of its own. Raises DataError if it fails."""
    command = [sys.executable, "-m", "training", "embed", str(source), "--weights", str(weights), "--out", str(out)]
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wall_s, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise DataError(f"the command failed: {done.stderr.strip()}")
    return Cost(cpu_s=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall_s=wall_s)


def compare(stages: Sequence[Cost], command: Cost, start: Cost) -> dict[str, float]:
    """What the command takes beyond its start, as a share of what its stages alone take."""
    return {
        "ratio_of_processor_time": sum(each.cpu_s for each in stages) / (command.cpu_s - start.cpu_s),
        "ratio_to_cores": sum(each.wall_s for each in stages) / (command.wall_s - start.wall_s),
    }


def _join(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier


def _stages(weights: Path, files: Sequence[Path]) -> dict[str, Cost]:
    """The cost of each stage for these files in this process, while the other processes do the same."""
    verifier = Verifier.of(load(weights), "cpu", threads=1)
    header, finder = verifier.header, FaceFinder()
    config = header.preprocessing
    choice: Choice = "largest" if config.alignment else "none"
    times = [_begin()]
    photos = [decode(path.read_bytes(), config) for path in files]
    times += [_now(), _begin()]
    crops = [
        analyse(photo, choice, config, finder, trained_on=header.trained_on, conditions=header.conditions).pixels
        for photo in photos
    ]
    times += [_now(), _begin()]
    for start in range(0, len(crops), MAX_BATCH):
        verifier.embed(np.stack(crops[start : start + MAX_BATCH]))
    times.append(_now())
    begun, ended = times[::2], times[1::2]
    return {
        stage: Cost(cpu_s=end[0] - begin[0], wall_s=end[1] - begin[1])
        for stage, begin, end in zip(STAGES, begun, ended, strict=True)
    }


def _begin() -> tuple[float, float]:
    """As `_now`, when all processes are here."""
    _barrier.wait(BARRIER_S)
    return _now()


def _now() -> tuple[float, float]:
    """This process's processor time, and the wall time."""
    return time.process_time(), time.perf_counter()


def _measure(options: argparse.Namespace) -> Figures:
    cores = cropping.cores()
    with TemporaryDirectory() as name:
        folder, absent = Path(name) / "pictures", Path(name) / "absent.txt"
        files = _take_out(options.data / "lfw-deepfunneled.tgz", folder, options.pictures)
        absent.write_text("absent.jpg\n" * PART_FILES * cores)
        rows = []
        for number in range(options.rounds):
            stages = stage_costs(options.weights, files, cores)
            start = command_cost(options.weights, absent, Path(name) / f"start-{number}.parquet")
            command = command_cost(options.weights, folder, Path(name) / f"out-{number}.parquet")
            rows.append(
                {
                    **{f"{stage}_core_ms": 1000 * cost.cpu_s / len(files) for stage, cost in stages.items()},
                    "start_core_s": start.cpu_s,
                    "start_s": start.wall_s,
                    "command_core_ms": 1000 * (command.cpu_s - start.cpu_s) / len(files),
                    "images_per_s": len(files) / (command.wall_s - start.wall_s),
                    **compare(list(stages.values()), command, start),
                }
            )
    names = ("images_per_s", "ratio_of_processor_time", "ratio_to_cores")
    summary = {name: median(row[name] for row in rows) for name in names}
    load_average = os.getloadavg()[0]
    return Figures(
        summary={"pictures": len(files), "workers": cores, "load_average": load_average, **summary},
        table=[dict(row) for row in rows],
    )


def _take_out(archive: Path, folder: Path, count: int) -> list[Path]:
    """About `count` pictures of an archive, evenly over it. Raises DataError if it cannot be read."""
    folder.mkdir()
    try:
        with tarfile.open(archive) as opened:
            members = [member for member in opened if member.name.endswith(".jpg")]
            for member in members[:: max(1, len(members) // count)]:
                file = opened.extractfile(member)
                assert file
                (folder / Path(member.name).name).write_bytes(file.read())
    except OSError as error:
        raise DataError(f"{archive}: cannot be read; name LFW's folder with --data: {error}") from error
    return sorted(folder.iterdir())


if __name__ == "__main__":
    sys.exit(main())
