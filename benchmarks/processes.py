"""A process and all that it has started, whichever of them started which."""

from collections import defaultdict
from os import sysconf
from pathlib import Path


def family(pid: int) -> list[int]:
    """The process, its children, theirs, and so on."""
    children = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (fields := _stat(int(entry.name))):
            children[int(fields[1])].append(int(entry.name))
    found = [pid]
    for each in found:  # which grows meanwhile
        found += children[each]
    return found


def cpu_s(pid: int) -> float:
    """The processor time that the threads of one process have taken so far; 0 if it has ended."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / sysconf("SC_CLK_TCK") if fields else 0.0


def resident_bytes(pid: int | str, field: str = "VmHWM") -> int:
    """The resident memory of one process at its highest, or now with `VmRSS`."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith(f"{field}:")]
    return 1024 * int(line.split()[1])


def own_bytes(pid: int) -> int:
    """The memory of one process now, what it shares with others by its part (the kernel's PSS)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    [line] = [line for line in lines if line.startswith("Pss:")]
    return 1024 * int(line.split()[1])


def _stat(pid: int) -> list[str]:
    """The fields after the name, from the state on; none if the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
