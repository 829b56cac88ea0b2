"""The one socket that all workers share: bound by the supervisor, so that the address is theirs, and listening from
when the first worker is warm. Connections wait in its one queue, whichever worker ends.
"""

import socket

from model.errors import FacepairError


class ListenError(FacepairError):
    """An address that cannot be listened on."""


def bind(host: str, port: int) -> socket.socket:
    """A socket that has the address and does not listen yet; port 0 takes a free one. Raises ListenError."""
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if bound.family == socket.AF_INET6:  # as asyncio does for a lone process
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
    except (OSError, UnicodeError) as error:  # the second of a name that is none
        bound.close()
        raise _refusal(host, port, error) from error
    return bound


def listen(bound: socket.socket, backlog: int) -> None:
    """Makes the socket listen; a second call changes nothing.

    Raises ListenError if another service that is bound to this address listens already.
    """
    try:
        bound.listen(backlog)
    except OSError as error:
        host, port = bound.getsockname()[:2]
        raise _refusal(host, port, error) from error


def url(bound: socket.socket) -> str:
    """Where a bound socket is met."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _refusal(host: str, port: int, error: OSError | UnicodeError) -> ListenError:
    why = error.strerror if isinstance(error, OSError) else "it is no name of a host"
    return ListenError(f"cannot listen on {host} port {port}: {why}; choose others with --host and --port")
