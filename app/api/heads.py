"""Which heads of a request are answered: with one well-formed Host that the service knows, and a body in plain chunks.

Two parties that read a request differently are a way past one of them (RFC 9112 sections 3.2 and 6.1).
"""

import re
from collections.abc import Collection

from starlette.types import Scope

from app.api.problems import Problem

# RFC 3986: an IPv6 address in brackets or a name, and a port.
HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]+)(:[0-9]{0,5})?")
# Probes and scrapers ask by address.
ANY_HOST = {"/health/live", "/health/ready", "/metrics"}
MSG_HOST = "send one Host header, the name or address of the service, and its port if it is not 80 or 443"
CLOSE = {"Connection": "close"}


class HeadCheck:
    """Refuses a Host that is missing, doubled, malformed or not one of `hosts`, if there are any, with 400, and a
    Transfer-Encoding other than chunked with 501.
    """

    def __init__(self, hosts: Collection[str] = ()) -> None:
        self._hosts = {host.lower().encode() for host in hosts}

    def __call__(self, scope: Scope) -> None:
        """Raises Problem."""
        hosts, codings = [], []
        for name, value in scope["headers"]:
            if name == b"host":
                hosts.append(value)
            elif name == b"transfer-encoding":
                codings.append(value.strip().lower())
        if codings not in ([], [b"chunked"]):
            why = "send the body as it is, in chunks or with a Content-Length"
            raise Problem("unsupported_transfer_encoding", why, headers=CLOSE)
        if not hosts and scope["http_version"] == "1.0":
            return
        match = HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if match is None:
            raise Problem("invalid_host", MSG_HOST, headers=CLOSE)
        if self._hosts and match[1].lower() not in self._hosts and scope["path"] not in ANY_HOST:
            why = "this is no name of the service; its operator has listed those that it has"
            raise Problem("invalid_host", why, headers=CLOSE)


def header_of(scope: Scope, name: bytes) -> bytes:
    """The first header of a request with this name in lower case, b"" if there is none."""
    for each, value in scope["headers"]:
        if each == name:
            return bytes(value)
    return b""
