"""A check that the service can listen on its address."""

import socket

from model.errors import FacepairError


class ListenError(FacepairError):
    """The service cannot listen on this address."""


def require_free(host: str, port: int) -> None:
    """Raises ListenError unless the address can be bound: checked before the checkpoint is loaded, which takes long."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if probe.family == socket.AF_INET6:  # as asyncio does
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind((host, port))
        except (OSError, UnicodeError) as error:  # UnicodeError: not a valid host name
            why = error.strerror if isinstance(error, OSError) else "it is no name of a host"
            raise ListenError(
                f"cannot listen on {host} port {port}: {why}; choose others with --host and --port"
            ) from error
