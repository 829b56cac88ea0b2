"""How a replica and its process end: in order, or by a deadline that no thread can hold up."""

import logging
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from model.errors import FacepairError

logger = logging.getLogger("facepair")

# Standard error.
LAST_STANDARD_FILE = 2
# How long the log may take for its last line.
LAST_LINE_S = 1.0
GIB = 2**30
# The service maps 1 GiB, most of it libraries and threads' stacks that are never in memory; images come on top.
MIN_ADDRESS_SPACE_BYTES = 2 * GIB


class AddressSpaceError(FacepairError):
    """The process may not map as much memory as it needs."""


@dataclass
class Drain:
    """Whether the replica is leaving: `begun` is set by the server, `device_lost` by a thread of the network."""

    begun: bool = False
    device_lost: bool = False

    @property
    def leaving(self) -> bool:
        """Whether clients should go to another replica."""
        return self.begun or self.device_lost


def forbid_core_dumps() -> None:
    """A process that crashes leaves no file of its memory, which has uploads; nor do those that it starts."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def require_address_space() -> None:
    """Raises AddressSpaceError under a limit that loading, or the first images, would meet as a lack of memory."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < MIN_ADDRESS_SPACE_BYTES:
        raise AddressSpaceError(
            f"the limit of address space, {limit / GIB:.1f} GiB (ulimit -v), is below {MIN_ADDRESS_SPACE_BYTES / GIB:g}"
            " GiB; remove it, and limit the container's memory instead"
        )


def describe(status: int) -> str:
    """Why a process ended, by its exit status, which is negative if a signal ended it."""
    return f"signal {signal.Signals(-status).name} ended it" if status < 0 else f"it ended with status {status}"


def end_within(seconds: float) -> None:
    """Ends the process with status 1 if it has not ended by then, even if threads hang."""
    timer = threading.Timer(seconds, end, ["work did not end in time; the process ends without it"])
    timer.daemon = True
    timer.start()


def end(why: str) -> None:
    """Ends the process with status 1, and logs why, unless the log blocks because its reader has gone."""
    last_line = threading.Thread(target=_write_last_line, args=[why], daemon=True)
    last_line.start()
    last_line.join(LAST_LINE_S)
    os._exit(1)


def _write_last_line(why: str) -> None:
    logger.error(why)
    for handler in logging.getLogger().handlers:
        handler.flush()


def open_standard_files() -> None:
    """Opens the standard files that were closed from the start, for nothing.

    Otherwise sockets would get their descriptors, which decoders redirect.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= LAST_STANDARD_FILE:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def run_and_leave(main: Callable[[], int]) -> NoReturn:
    """Ends the process with the status that `main` returns or exits with, as soon as all output is written.

    Exit is 0.7 s faster than Python's own: interpreter teardown is skipped.
    """
    try:
        status = main()
    except SystemExit as asked:  # by a signal's handler, or by argparse
        status = asked.code if isinstance(asked.code, int) else int(asked.code is not None)
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        if stream:  # None if it was closed from the start
            with suppress(OSError):  # the reader has left
                stream.flush()
    os._exit(status)
