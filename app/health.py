"""`python -m app.health`: exit status 0 when the service on this machine is ready, for a container's HEALTHCHECK."""

import ssl
import sys
import urllib.request
from http.client import HTTPException

from app.settings import SettingsError, read_settings

TIMEOUT_S = 5.0
# Ignores the environment's proxies, and whose the certificate is: the service is on this machine.
DIRECT = urllib.request.build_opener(
    urllib.request.ProxyHandler({}),
    urllib.request.HTTPSHandler(context=ssl._create_unverified_context()),  # noqa: S323
)
# Where to ask a service that listens on all addresses.
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def is_ready(host: str, port: int, scheme: str = "http") -> bool:
    """Whether the service that listens at this address of this machine is ready."""
    name = LOOPBACK.get(host, host)
    name = f"[{name}]" if ":" in name else name
    try:
        with DIRECT.open(f"{scheme}://{name}:{port}/health/ready", timeout=TIMEOUT_S) as response:
            return bool(response.status == 200)
    except (OSError, HTTPException):  # urllib's own errors are OSErrors too
        return False


def main() -> int:
    """Asks at the address in the service's variables. Returns the exit status."""
    try:
        settings = read_settings({})
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 (for a person, or a container's log)
        return 1
    return 0 if is_ready(settings.host, settings.port, "https" if settings.tls_certificate else "http") else 1


if __name__ == "__main__":
    sys.exit(main())
