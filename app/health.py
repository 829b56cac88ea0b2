"""`python -m app.health`: exit status 0 when the service on this machine is ready, for a container's HEALTHCHECK."""

import sys
import urllib.request
from http.client import HTTPException

from app.settings import SettingsError, read_settings

TIMEOUT_S = 5.0
# Whatever proxies the environment names, this machine is asked itself.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def is_ready(port: int) -> bool:
    """Whether the service on this port of this machine says that it is."""
    try:
        with DIRECT.open(f"http://127.0.0.1:{port}/health/ready", timeout=TIMEOUT_S) as answer:
            return bool(answer.status == 200)
    except (OSError, HTTPException):  # urllib's own errors are OSErrors too
        return False


def main() -> int:
    """Asks the port that the service's variables name; the exit status."""
    try:
        settings = read_settings({})
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 (for a person, or a container's log)
        return 1
    return 0 if is_ready(settings.port) else 1


if __name__ == "__main__":
    sys.exit(main())
