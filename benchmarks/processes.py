"""The CPU time and the memory of a process and of its descendants."""

import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path


def family(pid: int) -> list[int]:
    """The process and all its descendants."""
    children = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (fields := _stat(int(entry.name))):
            children[int(fields[1])].append(int(entry.name))
    found = [pid]
    for each in found:  # the loop also visits what it appends
        found += children[each]
    return found


def cpu_s(pid: int) -> float:
    """The CPU time so far of a process's threads, and of its children that have ended; 0 if it has ended itself."""
    return sum(map(int, _stat(pid)[11:15])) / os.sysconf("SC_CLK_TCK")


@dataclass
class OtherWork:
    """How many of the machine's cores all other processes kept busy, on average."""

    cores: float = 0.0


@contextmanager
def other_work() -> Iterator[OtherWork]:
    """Filled in at the end. Counts as others' what children of this process did if they have not ended then."""
    found, started, before = OtherWork(), time.perf_counter(), _others_s()
    yield found
    found.cores = (_others_s() - before) / (time.perf_counter() - started)


def _others_s() -> float:
    """The CPU time so far of all processes but this one, idle time left out."""
    fields = list(map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]))
    user, nice, system, _idle, _waiting, *rest = fields
    return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK") - cpu_s(os.getpid())


def state_of(pid: int) -> str:
    """The letter of a process's state, empty if there is no such process."""
    fields = _stat(pid)
    return fields[0] if fields else ""


def resident_bytes(pid: int | str, field: str = "VmHWM") -> int:
    """A process's resident memory: its peak, or its present value with `VmRSS`."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith(f"{field}:")]
    return 1024 * int(line.split()[1])


def own_bytes(pid: int) -> int:
    """A process's present memory, with its part of what it shares with others (the kernel's PSS); 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    [line] = [line for line in lines if line.startswith("Pss:")]
    return 1024 * int(line.split()[1])


def anonymous_bytes(pid: int) -> int:
    """A process's present memory that belongs to no file, with its part of what it shares; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:")))


def stop(pid: int) -> None:
    """Stops a process and its descendants, which then take no CPU time until `resume`."""
    _signal(pid, signal.SIGSTOP)


def resume(pid: int) -> None:
    """Lets a process and its descendants go on."""
    _signal(pid, signal.SIGCONT)


def _signal(pid: int, number: signal.Signals) -> None:
    for each in family(pid):
        with suppress(ProcessLookupError):
            os.kill(each, number)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; empty if the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
