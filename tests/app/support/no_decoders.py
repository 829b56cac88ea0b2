"""`python -m tests.app.support.no_decoders`: the service, none of whose decoders can be started."""

import sys

import app.engine.decoder_trial
import app.engine.fork_server
from app.__main__ import main

if __name__ == "__main__":
    app.engine.decoder_trial.STARTING_S = 0.5
    app.engine.fork_server.COMMAND = (sys.executable, "-c", "")
    sys.exit(main())
