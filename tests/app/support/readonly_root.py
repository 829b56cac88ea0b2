"""`python -m tests.app.support.readonly_root`: the service where no folder takes temporary files."""

import sys
import tempfile

from app.__main__ import main


def _none() -> str:
    raise FileNotFoundError("there is no usable temporary directory")


if __name__ == "__main__":
    vars(tempfile)["_get_default_tempdir"] = _none
    sys.exit(main())
