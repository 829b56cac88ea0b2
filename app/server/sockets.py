"""Checks that the service can listen on its address, and speak TLS with its certificate."""

import socket
import ssl
from pathlib import Path

from model.errors import FacepairError


class ListenError(FacepairError):
    """The service cannot listen on this address."""


def require_free(host: str, port: int, flag: str = "--port") -> None:
    """Raises ListenError unless the address can be bound: checked before the checkpoint is loaded, which takes long.

    `flag` is the one that chooses the port.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if probe.family == socket.AF_INET6:  # as asyncio does
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind((host, port))
        except (OSError, UnicodeError) as error:  # UnicodeError: not a valid host name
            why = error.strerror if isinstance(error, OSError) else "it is no name of a host"
            raise ListenError(
                f"cannot listen on {host} port {port}: {why}; choose others with --host and {flag}"
            ) from error


def require_certificate(certificate: Path | None, key: Path | None) -> None:
    """Raises ListenError unless there is none, or a server can use it: uvicorn would end with a stack trace."""
    if certificate is None and key is None:
        return
    if certificate is None:
        raise ListenError("there is a private key without a certificate; give --tls-certificate, too")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or "it is malformed"
        raise ListenError(
            f"the certificate and its key cannot be used: {why}; give PEM files that belong together, the key without "
            "a password, with --tls-certificate and --tls-key"
        ) from error
