"""`python -m tests.app.childless`: the service, none of whose decoders can be started."""

import sys

import app.decoders
import app.fork_server
from app.__main__ import main

if __name__ == "__main__":
    app.decoders.STARTING_S = 0.5
    app.fork_server.COMMAND = (sys.executable, "-c", "")
    sys.exit(main())
