"""`python -m tests.app.impatient`: the service, which waits half a second for a request's head."""

import sys

import app.protocol
from app.__main__ import main

WITHIN_S = 0.5

if __name__ == "__main__":
    app.protocol.HEAD_WITHIN_S = WITHIN_S
    sys.exit(main())
