"""What a decoder says to the service, as bytes: a JSON header and the pixels of crops, never an object that is code.

An image may have taken the decoder over. So the service knows beforehand how long an answer may be, and checks
everything that it can know: the number of crops and their shape, the numbers' ranges, the lengths of texts.
"""

import struct
from dataclasses import dataclass
from typing import Annotated, Literal, assert_never

import numpy as np
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from app.engine.answer_headers import (
    FAULT_CHARACTERS,
    AnalysisHeader,
    FaceHeader,
    FaultHeader,
    NotReady,
    Ready,
    RefusalHeader,
)
from app.engine.sandbox.confinement import SandboxError
from model import errors
from model.arrays import Pixels
from model.errors import DetectorError, FacepairError, ImageError
from model.imaging.analysis import Choice, ImageAnalysis, TooManyTogether

# Before a message: the bytes of its header, and of its pixels.
LENGTHS = struct.Struct("!II")
# The longest header, and how much longer it may be for each face.
HEADER_BYTES, FACE_BYTES = 64 * 1024, 8 * 1024
ERRORS: dict[str, type[ImageError]] = {
    each.__name__: each
    for each in (
        errors.EmptyImage, errors.UnsupportedImage, errors.UndecodableImage, errors.ImageTooLarge,
        errors.ImageTooSmall, errors.ImageTooDemanding, errors.NoFace, errors.SeveralFaces, errors.TooManyFaces,
        errors.FaceTooSmall, TooManyTogether,
    )
}  # fmt: skip


class AnswerError(FacepairError):
    """A decoder said what it cannot have to say."""


class DecoderFault(Exception):
    """An unexpected failure that is not the image's fault; the message is the end of the decoder's traceback."""


@dataclass(frozen=True, kw_only=True)
class DecodeResult:
    """An analysis or the reason why there is none, and the seconds of each stage, `decode` and `face`."""

    outcome: ImageAnalysis | ImageError | DecoderFault
    seconds: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What an answer can be: the crops' channels and side, the choice of faces, and the most faces.

    With the choice "none" the crop is the whole picture.
    """

    input_shape: tuple[int, int]
    choice: Choice
    max_faces: int

    @property
    def crop_bytes(self) -> int:
        """The pixels of one crop."""
        channels, side = self.input_shape
        return channels * side * side

    @property
    def all_faces(self) -> bool:
        """Whether every face has a crop."""
        return self.choice in ("all", "any")

    @property
    def max_crops(self) -> int:
        """The most crops in an answer."""
        return self.max_faces if self.all_faces else 1


_FIRST: TypeAdapter[Ready | NotReady] = TypeAdapter(Annotated[Ready | NotReady, Field(discriminator="kind")])
_RESULT: TypeAdapter[AnalysisHeader | RefusalHeader | FaultHeader] = TypeAdapter(
    Annotated[AnalysisHeader | RefusalHeader | FaultHeader, Field(discriminator="kind")]
)


def pack(header: BaseModel, *crops: Pixels) -> bytes:
    """A message: the lengths, the header as JSON, and the crops' pixels one after the other."""
    text = header.model_dump_json().encode()
    pixels = [crop.tobytes() for crop in crops]
    return b"".join([LENGTHS.pack(len(text), sum(map(len, pixels))), text, *pixels])


def pack_refused_start(error: DetectorError | SandboxError) -> bytes:
    """The message of a decoder that cannot become ready."""
    name: Literal["DetectorError", "SandboxError"] = (
        "DetectorError" if isinstance(error, DetectorError) else "SandboxError"
    )
    return pack(NotReady(error=name, message=str(error)[:1000]))


def pack_result(result: DecodeResult) -> bytes:
    """A result as a message."""
    outcome, decode_s = result.outcome, result.seconds.get("decode")
    if isinstance(outcome, DecoderFault):
        return pack(FaultHeader(traceback=str(outcome)[-FAULT_CHARACTERS:]))
    if isinstance(outcome, ImageError):
        return pack(RefusalHeader(error=type(outcome).__name__, message=str(outcome), decode_s=decode_s))
    faces = [FaceHeader.of(face) for face in outcome.faces]
    header = AnalysisHeader(
        format=outcome.format,
        width_px=outcome.width_px,
        height_px=outcome.height_px,
        orientation=outcome.orientation,
        faces=faces,
        faces_found=outcome.faces_found,
        warnings=outcome.warnings,
        face_s=outcome.face_s,
        decode_s=decode_s or 0.0,
        timed_face="face" in result.seconds,
    )
    crops = [face.pixels for face in outcome.faces] if outcome.whole is None else [outcome.whole]
    return pack(header, *crops)


def unpack_lengths(data: bytes | bytearray, expected: Expected | None) -> tuple[int, int]:
    """The bytes of a message's header and of its pixels. Raises AnswerError if it is too long, before it has come."""
    header, pixels = LENGTHS.unpack_from(data)
    crops = expected.max_crops if expected else 0
    most = crops * expected.crop_bytes if expected else 0
    if header > HEADER_BYTES + FACE_BYTES * crops or pixels > most:
        raise AnswerError(f"an answer of {header:,} and {pixels:,} bytes")
    return header, pixels


def unpack_first(header: bytes) -> Ready:
    """The header of the first message. Raises AnswerError, or DetectorError or SandboxError if the decoder cannot
    become ready.
    """
    try:
        message = _FIRST.validate_json(header)
    except ValidationError as error:
        raise AnswerError("no first message") from error
    if isinstance(message, NotReady):
        raise (DetectorError if message.error == "DetectorError" else SandboxError)(message.message)
    return message


def unpack_result(header: bytes, pixels: bytes, expected: Expected) -> DecodeResult:
    """A result that can be one of what was asked. Raises AnswerError."""
    try:
        message = _RESULT.validate_json(header)
    except ValidationError as error:
        raise AnswerError("no result") from error
    if isinstance(message, AnalysisHeader):
        return _result_of(message, pixels, expected)
    if pixels:
        raise AnswerError("pixels of no analysis")
    if isinstance(message, FaultHeader):
        return DecodeResult(outcome=DecoderFault(message.traceback), seconds={})
    if isinstance(message, RefusalHeader):
        if message.error not in ERRORS:
            raise AnswerError("an unknown error")
        seconds = {} if message.decode_s is None else {"decode": message.decode_s}
        return DecodeResult(outcome=ERRORS[message.error](message.message), seconds=seconds)
    assert_never(message)


def _result_of(message: AnalysisHeader, pixels: bytes, expected: Expected) -> DecodeResult:
    whole = expected.choice == "none"
    crops = _crops_of(pixels, expected)
    count, found = len(message.faces), message.faces_found
    if whole:
        right = count == 0 and found is None and len(crops) == 1
    else:
        places = [face.index for face in message.faces]
        right = found is not None and len(crops) == count and all(place < found for place in places)
        right = right and (places == list(range(found or 0)) if expected.all_faces else count == 1)
    if not right:
        raise AnswerError("an analysis of another request")
    analysis = ImageAnalysis(
        format=message.format,
        width_px=message.width_px,
        height_px=message.height_px,
        orientation=message.orientation,
        whole=crops[0] if whole else None,
        faces=[] if whole else [face.with_crop(crop) for face, crop in zip(message.faces, crops, strict=True)],
        all_faces=expected.all_faces,
        faces_found=found,
        warnings=message.warnings,
        face_s=message.face_s,
    )
    face_s = {"face": message.face_s} if message.timed_face else {}
    return DecodeResult(outcome=analysis, seconds={"decode": message.decode_s, **face_s})


def _crops_of(pixels: bytes, expected: Expected) -> list[Pixels]:
    """Raises AnswerError if the bytes are not those of whole crops."""
    channels, side = expected.input_shape
    if len(pixels) % expected.crop_bytes:
        raise AnswerError("a part of a crop")
    shape = (-1, side, side) if channels == 1 else (-1, side, side, channels)
    return [crop.copy() for crop in np.frombuffer(pixels, np.uint8).reshape(shape)]  # each is kept by itself
