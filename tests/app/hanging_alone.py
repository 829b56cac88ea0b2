"""`python -m tests.app.hanging_alone`: the service in one process, whose network never comes back from a pass."""

import sys

import app.serving
from app.__main__ import main
from tests.app.hanging import open_hanging_verifier

if __name__ == "__main__":
    setattr(app.serving, "open_verifier", open_hanging_verifier)  # noqa: B010 (it is not exported there)
    sys.exit(main())
