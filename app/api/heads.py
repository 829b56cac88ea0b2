"""Which heads of a request are answered: with one well-formed Host that the service knows, and a body in plain chunks.

Two parties that read a request differently are a way past one of them (RFC 9112 sections 3.2 and 6.1).
"""

import re
from collections.abc import Collection

from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.problems import Problem, respond

# RFC 3986: an IPv6 address in brackets or a name, and a port.
HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]+)(:[0-9]{0,5})?")
# Probes and scrapers ask by address.
ANY_HOST = {"/health/live", "/health/ready", "/metrics"}
MSG_HOST = "send one Host header, the name or address of the service, and its port if it is not 80 or 443"


class HeadMiddleware:
    """Answers 400 to a Host that is missing, doubled, malformed or not one of `hosts`, if there are any, and 501 to a
    Transfer-Encoding other than chunked.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] = ()) -> None:
        self._app = app
        self._hosts = {host.lower().encode() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._check(scope)
            except Problem as problem:
                response = respond(problem, scope["state"]["request_id"], {"Connection": "close"})
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        """Raises Problem."""
        codings = [value.strip().lower() for name, value in scope["headers"] if name == b"transfer-encoding"]
        if codings not in ([], [b"chunked"]):
            raise Problem("unsupported_transfer_encoding", "send the body as it is, in chunks or with a Content-Length")
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if not hosts and scope["http_version"] == "1.0":
            return
        match = HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if match is None:
            raise Problem("invalid_host", MSG_HOST)
        if self._hosts and match[1].lower() not in self._hosts and scope["path"] not in ANY_HOST:
            raise Problem("invalid_host", "this is no name of the service; its operator has listed those that it has")
