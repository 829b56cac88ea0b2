"""Bodies of JSON, with images in base64 or as data URIs, under the names that the parts of multipart have.

A general parser would build millions of values of a hostile body, or decode an image before its size is judged. So long
strings, which are the images, are set aside while the bytes arrive. What is left is small, and parsed at the end.
"""

import base64
import binascii
import json
import re
import secrets
from asyncio import sleep

from app.api.bodies.form import Form, Part, Parts
from app.api.problems import Problem

# Longer strings are set aside.
MAX_INLINE_BYTES = 1024
# What is left without them.
MAX_SKELETON_BYTES = 64 * 1024
# A string up to its end, or to an escape that has not arrived as a whole.
STRING = re.compile(rb"(?:[^\"\\]++|\\u[0-9a-fA-F]{4}|\\[^u])*+")
LONGEST_ESCAPE = len(b"\\u0000")
# Line ends of base64 as `base64` of a shell and many libraries write it.
SPACE = b" \t\r\n"
# Decoded at a time, then other requests have their turn.
SLICE_BYTES = 256 * 1024
DATA_URI = re.compile(rb"data:[^,]{0,200};base64,", re.IGNORECASE)
URL = re.compile(rb"(?:https?|ftp|file|blob|s3|gs)://|blob:", re.IGNORECASE)
MSG_URL = (
    "this is a URL; the service fetches none, as it could be sent to places that only it can reach: send the image's "
    "bytes in base64"
)
MSG_TEXT = "an image in JSON is base64 of its bytes, or a data URI with ;base64"
MSG_NO_OBJECT = "send a JSON object whose names are those of the documentation"

Pairs = list[tuple[str, object]]


class JsonForm:
    """A `FormParser` of JSON. Numbers reach the form as they were written; null is as good as absent."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._rest = b""
        self._skeleton = bytearray()
        self._in_string = False
        self._short = bytearray()
        """The string that is being read, as long as it is short."""
        self._long: bytearray | None = None
        """The same without escapes and white space, once it is long."""
        self._set_aside: dict[str, bytearray] = {}
        self._mark = secrets.token_hex(8)  # no string of the body can be taken for one that was set aside

    def feed(self, chunk: bytes) -> None:
        data, at = self._rest + chunk, 0
        self._rest = b""
        while at < len(data):
            if not self._in_string:
                quote = data.find(b'"', at)
                end = len(data) if quote < 0 else quote
                self._take_outside(data[at:end])
                self._in_string = quote >= 0
            else:
                end = _end_of_text(data, at)
                self._take_text(data[at:end])
                if data[end : end + 1] != b'"':  # the chunk has no more, or ends within an escape
                    self._keep(data[end:])
                    return
                self._end_string()
            at = end + 1

    async def finish(self) -> Form:
        for place, (sent, value) in enumerate(self._parse(), 1):
            no_images = type(value) is list and not value and self._parts.is_of_images(sent)
            if value is None or no_images:
                continue
            values = value if isinstance(value, list) and value else [value]
            for each in values:
                part = self._parts.open(sent, place)
                if not isinstance(each, str) or (isinstance(value, list) and not part.rule.image):
                    what = "text, or a list of texts" if part.rule.image else "text or a number"
                    raise Problem("malformed_json", f"{part.name} is {what}", part.name)
                await self._fill(part, each)
        return self._parts.finish()

    def _keep(self, data: bytes) -> None:
        """The beginning of an escape, until the rest of it arrives."""
        if len(data) >= LONGEST_ESCAPE:
            raise Problem("malformed_json", MSG_NO_OBJECT)
        self._rest = data

    def _take_outside(self, data: bytes) -> None:
        """Bytes between strings."""
        self._skeleton += data
        if len(self._skeleton) > MAX_SKELETON_BYTES:
            raise Problem("malformed_json", MSG_NO_OBJECT)

    def _take_text(self, data: bytes) -> None:
        """Bytes of a string, with whole escapes."""
        if self._long is None:
            self._short += data
            if len(self._short) <= MAX_INLINE_BYTES:
                return
            data, self._long = bytes(self._short), bytearray()
            self._parts.expect(len(self._set_aside) + 1)
        self._long += _unescape(data).translate(None, SPACE)

    def _end_string(self) -> None:
        self._in_string = False
        if self._long is None:
            self._take_outside(b'"' + self._short + b'"')
        else:
            name = f"{self._mark}{len(self._set_aside)}"
            self._set_aside[name] = self._long
            self._take_outside(b'"%b"' % name.encode())
        self._short, self._long = bytearray(), None

    def _parse(self) -> Pairs:
        """The names and values of the body. Raises Problem."""
        whole = not self._in_string and not self._rest
        try:
            found = json.loads(
                bytes(self._skeleton) if whole else b"",
                strict=False,  # line ends within base64 do no harm
                object_pairs_hook=_Object,
                parse_int=str,
                parse_float=str,
                parse_constant=_refuse_constant,
            )
        except (ValueError, RecursionError) as error:
            raise Problem("malformed_json", MSG_NO_OBJECT) from error
        if not isinstance(found, _Object):
            raise Problem("malformed_json", MSG_NO_OBJECT)
        return found

    async def _fill(self, part: Part, text: str) -> None:
        """Puts a string into its part. Raises Problem."""
        data = self._set_aside.pop(text, None)
        if not part.rule.image:
            part.add(text.encode("utf-8", "replace") if data is None else bytes(data))
            return
        await _decode(part, text.encode("utf-8", "replace").translate(None, SPACE) if data is None else data)


class _Object(list[tuple[str, object]]):
    """An object's pairs, unlike a list of JSON; names that come twice are kept, so that they can be refused."""


def _end_of_text(data: bytes, start: int) -> int:
    """The end of what is a string's from `start` on: its quote, an escape that is not whole, or the end of the data."""
    found = STRING.match(data, start)
    assert found is not None  # it may be empty
    return found.end()


def _unescape(data: bytes) -> bytes:
    if b"\\" not in data:
        return data
    try:
        text: str = json.loads(b'"%b"' % data, strict=False)
    except ValueError as error:
        raise Problem("malformed_json", MSG_NO_OBJECT) from error
    return text.encode("utf-8", "replace")


async def _decode(part: Part, text: bytes | bytearray) -> None:
    """Decodes base64 or a data URI into its part, once its size is judged. Raises Problem if that is too large."""
    if URL.match(text):
        part.refuse("unsupported_image", MSG_URL)
        return
    uri = DATA_URI.match(text)
    start = uri.end() if uri else 0
    text = text + b"=" * (-(len(text) - start) % 4)  # some clients leave it out
    part.require_room((len(text) - start) // 4 * 3 - text[-2:].count(b"="))
    padding = text.find(b"=", start)
    if padding >= 0 and padding < len(text) - 2:
        part.refuse("invalid_field", MSG_TEXT)
        return
    for begin in range(start, len(text), SLICE_BYTES):
        try:
            part.add(base64.b64decode(text[begin : begin + SLICE_BYTES], validate=True))
        except binascii.Error:
            part.refuse("invalid_field", MSG_TEXT)
            return
        await sleep(0)


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
