"""Whether a decoder can be started, asked before there is an event loop, and why not."""

import pickle
import struct

from app.engine.answers import LENGTHS, AnswerError, unpack_first, unpack_lengths
from app.engine.decoder import DecoderConfig
from app.engine.fork_server import ForkServer
from app.engine.sandbox.confinement import Sandbox
from model.errors import FacepairError

# How long a decoder may take to be ready.
STARTING_S = 60.0
EXPECTED = (EOFError, OSError, FacepairError)


class DecodersError(FacepairError):
    """No decoder could be started."""


def try_out(fork_server: ForkServer, config: DecoderConfig) -> Sandbox:
    """Starts a decoder and lets it end. What it could not do.

    Raises DetectorError, SandboxError or DecodersError.
    """
    try:
        with fork_server.fork(pickle.dumps(config)) as channel:
            channel.settimeout(STARTING_S)
            with channel.makefile("rb") as stream:
                length, _ = unpack_lengths(stream.read(LENGTHS.size), None)
                return unpack_first(stream.read(length)).sandbox
    except (OSError, struct.error, AnswerError) as error:
        raise DecodersError(f"no decoder could be started: {reason_of(error)}") from error


def reason_of(error: Exception) -> str:
    """Why a decoder was not ready."""
    if isinstance(error, TimeoutError):
        return f"it was not ready within {STARTING_S:g} s"
    if isinstance(error, EOFError | ConnectionError | struct.error):
        return "it ended before it was ready"
    return str(error) if isinstance(error, EXPECTED) else type(error).__name__
