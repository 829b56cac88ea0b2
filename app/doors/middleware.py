"""Who is let in, before a route is looked for or a byte of the body is read."""

from collections.abc import Collection
from functools import partial

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.problems import Problem, respond
from app.doors.keys import ApiKeys

# What a page of another site may send and read.
METHODS = ("GET", "HEAD", "POST")
REQUEST_HEADERS = ("Authorization", "Content-Type", "X-Request-ID", "traceparent", "tracestate")
RESPONSE_HEADERS = ("X-Request-ID", "Retry-After", "WWW-Authenticate")
PREFLIGHT_S = 600

cors = partial(
    CORSMiddleware,
    allow_methods=METHODS,
    allow_headers=REQUEST_HEADERS,
    expose_headers=RESPONSE_HEADERS,
    max_age=PREFLIGHT_S,
)

# For balancers, for the page (which asks for a key itself), and what says how the API is used.
PUBLIC = ("/", "/health/live", "/health/ready", "/docs", "/openapi.json")
PUBLIC_FOLDERS = ("/page/", "/docs/")
CHALLENGE = 'Bearer realm="facepair"'
MSG_NO_KEY = "send a key in the header Authorization: Bearer KEY"
MSG_WRONG_KEY = "this key is not, or no longer, one of the service's; send another, or ask its operator for one"


class KeyMiddleware:
    """Answers 401 to a request without one of the keys, but for paths that are open to all."""

    def __init__(self, app: ASGIApp, keys: ApiKeys, further_public: Collection[str] = ()) -> None:
        self._app = app
        self._keys = keys
        self._public = {*PUBLIC, *further_public}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._is_public(scope["path"]):
            await self._app(scope, receive, send)
            return
        key = _bearer(Headers(scope=scope).get("authorization", ""))
        name = self._keys.find(key) if key else None
        if name is None:
            problem = Problem("unauthorized", MSG_WRONG_KEY if key else MSG_NO_KEY)
            challenge = CHALLENGE + (', error="invalid_token"' if key else "")
            response = respond(problem, scope["state"]["request_id"], {"WWW-Authenticate": challenge})
            await response(scope, receive, send)
            return
        scope["state"]["api_key"] = name
        await self._app(scope, receive, send)

    def _is_public(self, path: str) -> bool:
        return path in self._public or path.startswith(PUBLIC_FOLDERS)


def _bearer(header: str) -> bytes:
    """The token of an Authorization header, b"" if it has another scheme."""
    scheme, _, token = header.partition(" ")
    return token.strip().encode("latin-1") if scheme.lower() == "bearer" else b""
