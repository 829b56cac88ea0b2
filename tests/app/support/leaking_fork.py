"""`python -m tests.app.support.leaking_fork ORDERS`: a fork server that keeps its copies of decoders' sockets.

One that is stopped before it has closed them keeps them, too.
"""

import os
import sys
from contextlib import suppress

from app.engine.fork_server import main

fork = os.fork


def fork_and_keep() -> int:
    pid = fork()
    if pid:
        for descriptor in range(3, 32):
            with suppress(OSError):
                os.dup(descriptor)
    return pid


if __name__ == "__main__":
    os.fork = fork_and_keep
    sys.exit(main())
