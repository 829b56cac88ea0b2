"""`python -m app.health`: exit status 0 when the service on this machine is ready, for a container's HEALTHCHECK."""

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping

TIMEOUT_S = 5.0


def is_ready(environment: Mapping[str, str]) -> bool:
    """Asks the port that the service was told to listen on."""
    port = int(environment.get("FACEPAIR_PORT", "8000"))
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=TIMEOUT_S) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


if __name__ == "__main__":
    sys.exit(0 if is_ready(os.environ) else 1)
