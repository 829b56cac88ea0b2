"""Who is let in, before a route is looked for or a byte of the body is read."""

from collections.abc import Collection
from functools import partial

from starlette.middleware.cors import CORSMiddleware
from starlette.types import Scope

from app.api.heads import header_of
from app.api.problems import Problem
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


class KeyCheck:
    """Refuses a request without one of the keys with 401, but for paths that are open to all."""

    def __init__(self, keys: ApiKeys, further_public: Collection[str] = ()) -> None:
        self.keys = keys
        self._public = {*PUBLIC, *further_public}

    def __call__(self, scope: Scope) -> None:
        """Raises Problem."""
        if self._is_public(scope["path"]):
            return
        key = _bearer(header_of(scope, b"authorization"))
        name = self.keys.find(key) if key else None
        if name is None:
            challenge = CHALLENGE + (', error="invalid_token"' if key else "")
            why = MSG_WRONG_KEY if key else MSG_NO_KEY
            raise Problem("unauthorized", why, headers={"WWW-Authenticate": challenge})
        scope["state"]["api_key"] = name

    def _is_public(self, path: str) -> bool:
        return path in self._public or path.startswith(PUBLIC_FOLDERS)


def _bearer(header: bytes) -> bytes:
    """The token of an Authorization header, b"" if it has another scheme."""
    scheme, _, token = header.partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""
