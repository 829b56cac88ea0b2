"""`python -m tests.app.support.taken_over ORDERS`: a fork server whose decoders are taken over by some images.

Such an image is `TAKE_OVER` and the name of an attack. What an attack sends goes to the service in place of an answer.
"""

import os
import pickle
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from io import BufferedReader

from app.engine import answers, decoder
from app.engine.answers import LENGTHS
from app.engine.fork_server import main
from tests.app.support.escapes import ESCAPES, HARMLESS, call, try_all

TAKE_OVER = b"TAKE OVER "
PIXELS = 105 * 105
ANALYSIS = (
    b'{"kind":"analysis","format":"PNG","width_px":9,"height_px":9,"orientation":1,"faces":[],"faces_found":null,'
    b'"warnings":[],"face_s":0.0,"decode_s":0.0,"timed_face":false}'
)


class Code:
    """Runs when it is unpickled: the service would leave at once."""

    def __reduce__(self) -> tuple[Callable[[int], object], tuple[int]]:
        return os._exit, (3,)


def message(header: bytes, pixels: bytes = b"") -> bytes:
    return LENGTHS.pack(len(header), len(pixels)) + header + pixels


ATTACKS: dict[str, bytes] = {
    "pickle": message(pickle.dumps(Code())),
    "bare pickle": pickle.dumps(Code()),
    "endless header": LENGTHS.pack(2**32 - 1, 0) + bytes(10_000_000),
    "endless pixels": LENGTHS.pack(len(ANALYSIS), 2**32 - 1) + ANALYSIS + bytes(10_000_000),
    "two answers": message(ANALYSIS, bytes(PIXELS)) * 2,
    "no JSON": message(b"\xff"),
    "deep JSON": message(b"[" * 60_000),
    "unknown error": message(b'{"kind":"refusal","error":"SystemExit","message":"","decode_s":null}'),
    "long message": message(b'{"kind":"refusal","error":"NoFace","message":"%s","decode_s":null}' % (b"x" * 60_000)),
    "further field": message(ANALYSIS[:-1] + b',"x":1}', bytes(PIXELS)),
    "no crop": message(ANALYSIS),
    "part of a crop": message(ANALYSIS, bytes(PIXELS - 1)),
    "endless number": message(ANALYSIS.replace(b'"face_s":0.0', b'"face_s":1e999'), bytes(PIXELS)),
    "found faces in a whole picture": message(ANALYSIS.replace(b"null", b"5"), bytes(PIXELS)),
    "ready again": message(
        b'{"kind":"ready","pid":1,"sandbox":{"system_calls":"off","landlock":0,"memory_bytes":null}}'
    ),
}


def handle_next(stream: BufferedReader, config: decoder.DecoderConfig, finder: None) -> bytes:
    """As the decoder's own, but for images that take over."""
    request = pickle.load(stream)
    if request.image.startswith(TAKE_OVER):
        name = request.image.removeprefix(TAKE_OVER).decode()
        if name.startswith(("escape ", "unconfined ")):
            kind, pid = name.split()
            fault = answers.DecoderFault(try_all(int(pid), ESCAPES if kind == "escape" else HARMLESS))
            return answers.pack_result(answers.DecodeResult(outcome=fault, seconds={}))
        if name == "foreign call":
            call(0x40000000 + 39)
        if name == "silence":
            close_and_live_on()
        return ATTACKS[name]
    return answers.pack_result(decoder.handle(request, config, finder))


def close_and_live_on() -> None:
    """Gives all descriptors up, so that the service takes the process for ended."""
    for descriptor in range(3, 100):
        with suppress(OSError):
            socket.close(descriptor)
    time.sleep(3600)


if __name__ == "__main__":
    decoder._handle_next = handle_next  # type: ignore[assignment]
    sys.exit(main())
