"""`python -m tests.app.support.short_limits`: the service, with limits of its connections that a test can wait for."""

import sys

import app.server.protocol
import app.server.transport
from app.__main__ import main

LINGER_S = 3.0
LINGER_IDLE_S = 1.5
READ_CHECK_S = 0.5

if __name__ == "__main__":
    app.server.protocol.LINGER_S = LINGER_S
    app.server.protocol.LINGER_IDLE_S = LINGER_IDLE_S
    app.server.transport.READ_CHECK_S = READ_CHECK_S
    sys.exit(main())
