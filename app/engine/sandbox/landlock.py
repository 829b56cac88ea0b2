"""Landlock: no file, no TCP port, and no signal to other processes, also if the filter of system calls had a gap.

linux/landlock.h; the numbers of its system calls are the same on every architecture.
"""

import ctypes
import os
import sys

CREATE_RULESET, RESTRICT_SELF = 444, 446
ASK_VERSION = 1
# The rights to files that each version can forbid, as bits: 13 rights, then REFER, TRUNCATE, none, IOCTL_DEV.
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
# Binding and connecting TCP, from version 4 on; abstract sockets and signals, from version 6 on.
NETWORK_SINCE, NETWORK = 4, 0b11
SCOPED_SINCE, SCOPED = 6, 0b11


class _Rules(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


def find_version() -> int:
    """The version of Landlock that the kernel has; 0 if it has none."""
    return max(0, _call(CREATE_RULESET, None, 0, ASK_VERSION)) if sys.platform == "linux" else 0


def forbid_all(version: int) -> None:
    """Takes every right from this process that this version knows. Raises OSError."""
    rules = _Rules(
        files=2 ** FILE_RIGHTS[min(version, max(FILE_RIGHTS))] - 1,
        network=NETWORK if version >= NETWORK_SINCE else 0,
        scoped=SCOPED if version >= SCOPED_SINCE else 0,
    )
    ruleset = _require(_call(CREATE_RULESET, ctypes.byref(rules), ctypes.sizeof(rules), 0))
    try:
        _require(_call(RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def _call(number: int, *arguments: object) -> int:
    converted = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    return int(call(ctypes.c_long(number), *converted))


def _require(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
