"""The API keys that a file lists."""

import hashlib
import hmac
import logging
import re
import time
from collections.abc import Callable
from pathlib import Path

from model.errors import FacepairError

logger = logging.getLogger("facepair")

# The characters of a bearer token (RFC 6750 section 2.1), and as many as 120 random bits need in base64.
KEY = re.compile(rb"[A-Za-z0-9._~+/-]{20,256}=*")
REREAD_AFTER_S = 1.0


class KeysError(FacepairError):
    """A file of keys that cannot be read or is malformed."""


class ApiKeys:
    """The keys of a file, one a line; blank lines and those that begin with # are not keys.

    The file is read again when a request comes and the last reading is a second old. If it can no longer be used, the
    keys stay as they were. Only digests are kept, of the file too.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises KeysError."""
        self._path = path
        self._clock = clock
        text = _read(path)
        self._file_digest, self._digests = hashlib.sha256(text).digest(), _parse(text)
        self._read_at = clock()

    def find(self, offered: bytes) -> str | None:
        """A name for the key, which does not tell it; None if the file does not list it."""
        self._reread()
        digest = hashlib.sha256(offered).digest()
        matches = [hmac.compare_digest(digest, known) for known in self._digests]  # all of them, in constant time
        return digest.hex()[:8] if any(matches) else None

    def _reread(self) -> None:
        now = self._clock()
        if now - self._read_at < REREAD_AFTER_S:
            return
        self._read_at = now
        try:
            text = _read(self._path)
            if (file_digest := hashlib.sha256(text).digest()) == self._file_digest:
                return
            self._file_digest, self._digests = file_digest, _parse(text)
        except KeysError as error:
            logger.error("the API keys stay as they were", extra={"fields": {"reason": str(error)}})
            return
        logger.info("API keys read", extra={"fields": {"keys": len(self._digests)}})


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KeysError(f"the file of API keys cannot be read: {error.strerror}") from error


def _parse(text: bytes) -> list[bytes]:
    """The digest of each key. Raises KeysError, which quotes no key."""
    lines = enumerate(map(bytes.strip, text.splitlines()), start=1)
    keys = {number: line for number, line in lines if line and not line.startswith(b"#")}
    for number, key in keys.items():
        if not KEY.fullmatch(key):
            raise KeysError(
                f"line {number} of the file of API keys is no key: write one a line, of 20 to 256 letters, digits and "
                "any of - . _ ~ + /, such as `openssl rand -hex 32` makes"
            )
    if not keys:
        raise KeysError("the file of API keys has no key: write one a line, such as `openssl rand -hex 32` makes")
    return [hashlib.sha256(key).digest() for key in keys.values()]
