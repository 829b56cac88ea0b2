"""`python -m tests.app.support.no_torch`: the service where PyTorch is not installed."""

import sys

from app.__main__ import main

if __name__ == "__main__":
    sys.modules["torch"] = None  # type: ignore[assignment]  # what makes an import fail
    sys.exit(main())
