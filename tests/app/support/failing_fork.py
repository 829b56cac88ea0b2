"""`python -m tests.app.support.failing_fork ORDERS`: the fork server of a system that has no process left at first."""

import errno
import os
import sys

from app.engine.fork_server import main

fork = os.fork


def fail_once() -> int:
    os.fork = fork
    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


if __name__ == "__main__":
    os.fork = fail_once
    sys.exit(main())
