"""The filter's decisions on each architecture, by a small machine that runs it as the kernel does."""

import errno
import os
import struct

import pytest

from app.engine.sandbox.seccomp import INSTRUCTION, build_filter, install_filter
from app.engine.sandbox.system_calls import AARCH64, ALWAYS, X86_64, Architecture, own_architecture

ALLOWED, REFUSED, UNKNOWN, KILLED = "allowed", errno.EPERM, errno.ENOSYS, "killed"
PID = 4321
THREAD = 0x3D0F00  # glibc's flags
FORK = 0x01200011  # glibc's flags
NEW_NAMESPACES = 0x7E020000


def decide(architecture: Architecture, number: int, *arguments: int, audit: int | None = None) -> object:
    """Runs the filter of `PID` on a call (linux/filter.h)."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=iIQ6Q", number, architecture.audit if audit is None else audit, 0, *padded)
    program = list(INSTRUCTION.iter_unpack(build_filter(architecture, PID)))
    at, word = 0, 0
    while True:
        code, then, otherwise, operand = program[at]
        at += 1
        if code == 0x20:
            [word] = struct.unpack_from("=I", data, operand)
        elif code == 0x06:
            break
        else:
            holds = {0x15: word == operand, 0x35: word >= operand, 0x45: bool(word & operand)}[code]
            at += then if holds else otherwise
    if operand & 0xFFFF0000 == 0x00050000:
        return operand & 0xFFFF
    return {0x7FFF0000: ALLOWED, 0x80000000: KILLED}[operand]


@pytest.mark.parametrize("architecture", [X86_64, AARCH64], ids=["x86_64", "aarch64"])
class TestFilter:
    def test_listed_calls_alone_are_allowed(self, architecture: Architecture) -> None:
        listed = {architecture.numbers[name] for name in ALWAYS}
        others = {architecture.numbers[name] for name in ("mmap", "mprotect", "clone", "clone3", "tgkill")}
        for number in range(1000):
            if number not in others:
                assert decide(architecture, number) == (ALLOWED if number in listed else REFUSED)

    def test_threads_are_allowed_and_processes_are_not(self, architecture: Architecture) -> None:
        clone = architecture.numbers["clone"]
        assert decide(architecture, clone, THREAD) == ALLOWED
        assert decide(architecture, clone, FORK) == REFUSED
        assert decide(architecture, clone, 17) == REFUSED
        for bit in range(32):
            if 2**bit & NEW_NAMESPACES:
                assert decide(architecture, clone, THREAD | 2**bit) == REFUSED
        assert decide(architecture, architecture.numbers["clone3"]) == UNKNOWN

    def test_memory_cannot_be_made_to_run(self, architecture: Architecture) -> None:
        for name in ("mmap", "mprotect"):
            for protection in range(8):
                expected = REFUSED if protection & 4 else ALLOWED
                assert decide(architecture, architecture.numbers[name], 0, 4096, protection) == expected

    def test_signals_to_itself_are_allowed(self, architecture: Architecture) -> None:
        signal = architecture.numbers["tgkill"]
        assert decide(architecture, signal, PID, PID, 6) == ALLOWED
        assert decide(architecture, signal, PID + 1, PID, 6) == REFUSED
        assert decide(architecture, signal, 0, PID, 6) == REFUSED

    def test_calls_of_another_architecture_end_the_process(self, architecture: Architecture) -> None:
        for audit in (0, 0x40000003, 0x40000028, 0xC000003E, 0xC00000B7):
            expected = ALLOWED if audit == architecture.audit else KILLED
            assert decide(architecture, architecture.numbers["getpid"], audit=audit) == expected


def test_x32_calls_end_the_process() -> None:
    assert decide(X86_64, 0x40000000) == KILLED
    assert decide(X86_64, 0x40000000 + X86_64.numbers["getpid"]) == KILLED
    assert decide(X86_64, -1) == KILLED


def test_system_refuses_a_program_that_is_none() -> None:
    with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
        install_filter(b"")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "riscv64"])
def test_the_own_architecture_is_found(monkeypatch: pytest.MonkeyPatch, machine: str) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert own_architecture() is {"x86_64": X86_64, "aarch64": AARCH64}.get(machine)
