"""A filter of system calls, which the kernel runs before each of them (seccomp; linux/seccomp.h, linux/filter.h).

All calls that are not listed fail with EPERM. Libraries take that for a system that does not have them.
"""

import ctypes
import errno
import os
import struct

from app.engine.sandbox.system_calls import ALWAYS, Architecture

# An instruction: its code, how many instructions to skip if it holds and if not, and its operand.
INSTRUCTION = struct.Struct("=HBBI")
# "Load a word of the call", "is equal", "is at least", "has one of these bits", "return".
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
# Where the call has its number, its architecture, and the lower half of its first argument.
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16
ALLOW, FAIL, KILL = 0x7FFF0000, 0x00050000, 0x80000000

PR_SET_SECCOMP, FILTER_MODE = 22, 2
PROT_EXEC = 4
CLONE_THREAD = 0x00010000
# What glibc and musl start threads with. A process is a clone without CLONE_THREAD, a namespace one with other flags.
THREAD_FLAGS = 0x007D0F00

Instruction = tuple[int, int, int, int]


def build_filter(architecture: Architecture, pid: int) -> bytes:
    """The program for the process `pid`, whose signals to itself are allowed: `abort` sends one."""
    numbers = architecture.numbers
    program = [(LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, architecture.audit), (RETURN, 0, 0, KILL)]
    program += [(LOAD, 0, 0, NUMBER)]
    if architecture.foreign is not None:
        program += [(AT_LEAST, 0, 1, architecture.foreign), (RETURN, 0, 0, KILL)]
    for name in ALWAYS:
        program += _when(numbers[name], [(RETURN, 0, 0, ALLOW)])
    for name in ("mmap", "mprotect"):
        program += _when(numbers[name], [*_require_no_bit(2, PROT_EXEC), (RETURN, 0, 0, ALLOW)])
    program += _when(
        numbers["clone"],
        [*_require_no_bit(0, 0xFFFFFFFF ^ THREAD_FLAGS), (ANY_BIT, 0, 1, CLONE_THREAD), (RETURN, 0, 0, ALLOW), _FAIL],
    )
    program += _when(numbers["tgkill"], [_load(0), (EQUAL, 0, 1, pid), (RETURN, 0, 0, ALLOW), _FAIL])
    # Its flags are in memory, which a filter cannot read. glibc then uses clone.
    program += _when(numbers["clone3"], [(RETURN, 0, 0, FAIL | errno.ENOSYS)])
    return b"".join(INSTRUCTION.pack(*each) for each in [*program, _FAIL])


def install_filter(program: bytes) -> None:
    """From here to its end this process, with one thread, is held to the filter. Raises OSError."""

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))

    found = Program(len(program) // INSTRUCTION.size, program)
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_SECCOMP, FILTER_MODE, ctypes.byref(found), 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


_FAIL = (RETURN, 0, 0, FAIL | errno.EPERM)


def _when(number: int, then: list[Instruction]) -> list[Instruction]:
    """What is done with the call of this number; it ends by returning."""
    return [(EQUAL, 0, len(then), number), *then]


def _load(argument: int) -> Instruction:
    return (LOAD, 0, 0, ARGUMENTS + 8 * argument)


def _require_no_bit(argument: int, bits: int) -> list[Instruction]:
    """Fails if the argument has one of these bits."""
    return [_load(argument), (ANY_BIT, 0, 1, bits), _FAIL]
