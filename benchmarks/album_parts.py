"""The parts of `benchmarks.album`: what each gave, the rows that they print, and the summary of all."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.anonymous_memory import Measured
from benchmarks.record import Row, Value
from benchmarks.timing import Seconds, spread
from training.learning.experiments import EXPERIMENT_5_UNALIGNED

# For the extrapolation of straightening.
MANY = 500_000
PARTS = {
    "small": "prepare the small album",
    "prepare": "prepare",
    "again": "prepare again, nothing new",
    "one": "prepare one new picture",
    "straighten": "straighten",
    "network": "steps on one batch of the small album",
    "train-small": "open and train, small album",
    "train": "open and train",
    "calibrate": "calibrate",
    "steps": "steps from both albums in turns",
}


@dataclass(kw_only=True)
class Parts:
    """Runs the wanted parts, prints a row when one ends, and goes on after one that fails."""

    wanted: Sequence[str]
    rows: list[Row] = field(default_factory=list)
    found: dict[str, Measured] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    """The part, and the kind of its error."""

    def run(self, name: str, pictures: int, work: Callable[[], Measured]) -> None:
        if name not in self.wanted:
            return
        try:
            found = work()
        except Exception as error:  # whatever happens to a part, the others were measured for an hour
            self.failed[name] = type(error).__name__
            print(f"{PARTS[name]}: failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            return
        self.found[name] = found
        self.rows.append(
            {
                "part": PARTS[name],
                "pictures": pictures,
                "seconds": found.seconds,
                "pictures_per_s": pictures / found.seconds,
                "anonymous_mib": found.mib,
            }
        )
        print(
            f"{PARTS[name]}: {pictures:,} pictures, {found.seconds:.1f} s, {found.mib:.0f} MiB of anonymous memory",
            flush=True,
        )

    def mib(self, name: str) -> float | None:
        return self.found[name].mib if name in self.found else None


@dataclass(kw_only=True)
class Compared:
    """Seconds of a step from each album, and of drawing a batch, by turns; the same of processor time, by steps.

    `others` is how many cores other work kept busy meanwhile. Processor time hardly depends on it with one thread; more
    threads wait for each other in a loop.
    """

    seconds: Seconds
    cpu_s: Seconds
    others: float


def summarise(parts: Parts, straightened: int) -> Row:
    """The single values; None for those of parts that were not measured."""
    found = parts.found
    summary: Row = {"experiment": EXPERIMENT_5_UNALIGNED.name, **_beside_network(parts)}
    summary["opened_s"] = found["train"].result if "train" in found else None
    summary["straightening_500000_hours_extrapolated"] = (
        found["straighten"].seconds / straightened * MANY / 3600 if "straighten" in found else None
    )
    if "calibrate" in found:
        summary["impostor_pairs"] = found["calibrate"].result["pairs"]
    if "steps" in found:
        summary |= _compared(found["steps"].result)
    summary["failed"] = ", ".join(f"{name} ({error})" for name, error in parts.failed.items()) or None
    return summary


def _beside_network(parts: Parts) -> dict[str, Value]:
    """The most anonymous memory of any part, in MiB. From training alone the network's is subtracted.

    The network's is all that a process holds which takes steps on one batch of the small album: the interpreter and
    torch, weights, moments and activations, few people's classifiers. Preparing and calibrating count whole.
    """
    network, trained = parts.mib("network"), parts.mib("train")
    beside = {
        "prepare_mib": parts.mib("prepare"),
        "add_one_mib": parts.mib("one"),
        "straighten_mib": parts.mib("straighten"),
        "calibrate_mib": parts.mib("calibrate"),
        "train_less_network_mib": None if network is None or trained is None else trained - network,
    }
    measured = [mib for mib in beside.values() if mib is not None]
    return {"network_mib": network, **beside, "beside_network_mib": max(measured, default=None)}


def _compared(found: Compared) -> Row:
    seconds, cpu_s = found.seconds, found.cpu_s
    ratios, cpu_ratios = (
        [small / large for small, large in zip(each["small"], each["large"], strict=True)] for each in (seconds, cpu_s)
    )
    return {
        "step_s": median(seconds["large"]),
        "step_from_small_album_s": median(seconds["small"]),
        "of_it_batch_s": median(seconds["large_batch"]),
        "of_it_batch_from_small_album_s": median(seconds["small_batch"]),
        **spread("speed_to_small_album", ratios),
        "step_cpu_s": median(cpu_s["large"]),
        "step_cpu_from_small_album_s": median(cpu_s["small"]),
        **spread("cpu_speed_to_small_album", cpu_ratios),
        "rounds": len(ratios),
        "cores_busy_with_other_work": found.others,
    }
