"""`python -m tests.app.support.short_head_timeout`: the service, which waits half a second for a request's head."""

import sys

import app.server.protocol
from app.__main__ import main

WITHIN_S = 0.5

if __name__ == "__main__":
    app.server.protocol.HEAD_WITHIN_S = WITHIN_S
    sys.exit(main())
