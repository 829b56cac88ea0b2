"""`python -m tests.app.support.readonly_root`: the service where no folder takes temporary files."""

import os
import sys
import tempfile

from app.__main__ import main


def _none() -> str:
    raise FileNotFoundError("there is no usable temporary directory")


if __name__ == "__main__":
    os.environ.pop("TORCHINDUCTOR_CACHE_DIR", None)  # which torch may have set in the process that started this one
    vars(tempfile)["_get_default_tempdir"] = _none
    sys.exit(main())
