"""The system calls that a decoder keeps, and their numbers (Linux: asm/unistd.h of each architecture)."""

import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass

# What decoding needs when everything is loaded: one socket, memory, threads and the time.
ALWAYS = (
    "sendto", "recvfrom", "close", "munmap", "mremap", "brk", "madvise", "futex", "setitimer", "rt_sigreturn",
    "rt_sigprocmask", "rt_sigaction", "sigaltstack", "sched_yield", "sched_getaffinity", "nanosleep", "clock_nanosleep",
    "clock_gettime", "gettimeofday", "getpid", "gettid", "getcpu", "getrandom", "membarrier", "set_robust_list", "rseq",
    "restart_syscall", "exit", "exit_group",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """`audit` is its number in linux/audit.h. System calls from `foreign` on are of another architecture."""

    audit: int
    foreign: int | None
    numbers: Mapping[str, int]


X86_64 = Architecture(
    audit=0xC000003E,
    foreign=0x40000000,  # x32: the same processor with pointers of 32 bits
    numbers={
        "close": 3, "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14,
        "rt_sigreturn": 15, "sched_yield": 24, "mremap": 25, "madvise": 28, "nanosleep": 35, "setitimer": 38,
        "getpid": 39, "sendto": 44, "recvfrom": 45, "clone": 56, "exit": 60, "gettimeofday": 96, "sigaltstack": 131,
        "gettid": 186, "futex": 202, "sched_getaffinity": 204, "restart_syscall": 219, "clock_gettime": 228,
        "clock_nanosleep": 230, "exit_group": 231, "tgkill": 234, "set_robust_list": 273, "getcpu": 309,
        "getrandom": 318, "membarrier": 324, "rseq": 334, "clone3": 435,
    },
)  # fmt: skip
AARCH64 = Architecture(
    audit=0xC00000B7,
    foreign=None,
    numbers={
        "close": 57, "exit": 93, "exit_group": 94, "futex": 98, "set_robust_list": 99, "nanosleep": 101,
        "setitimer": 103, "clock_gettime": 113, "clock_nanosleep": 115, "sched_getaffinity": 123, "sched_yield": 124,
        "restart_syscall": 128, "tgkill": 131, "sigaltstack": 132, "rt_sigaction": 134, "rt_sigprocmask": 135,
        "rt_sigreturn": 139, "getcpu": 168, "gettimeofday": 169, "getpid": 172, "gettid": 178, "sendto": 206,
        "recvfrom": 207, "brk": 214, "munmap": 215, "mremap": 216, "clone": 220, "mmap": 222, "mprotect": 226,
        "madvise": 233, "getrandom": 278, "membarrier": 283, "rseq": 293, "clone3": 435,
    },
)  # fmt: skip


def own_architecture() -> Architecture | None:
    """The one that this process runs on; None if its numbers are unknown here."""
    if sys.platform != "linux" or sys.maxsize < 2**32:
        return None
    return {"x86_64": X86_64, "aarch64": AARCH64}.get(platform.machine())
