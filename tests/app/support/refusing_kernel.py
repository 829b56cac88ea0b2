"""`python -m tests.app.support.refusing_kernel ORDERS`: a fork server whose kernel refuses decoders what confines them.

With settings instead of orders it is a service with such a fork server.
"""

import sys

import app.__main__
from app.engine import fork_server
from app.engine.sandbox import landlock, seccomp

if __name__ == "__main__":
    if sys.argv[1].startswith("{"):
        seccomp.PR_SET_SECCOMP = landlock.CREATE_RULESET = 10_000  # which no kernel knows
        sys.exit(fork_server.main())
    fork_server.COMMAND = (sys.executable, "-m", "tests.app.support.refusing_kernel")
    sys.exit(app.__main__.main())
