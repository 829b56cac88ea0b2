"""A decoder: a process that decodes images and finds their faces, one image at a time.

It does not share the interpreter's lock with the network, and an image that ends its process ends no other request.
It is forked with everything loaded, gives up what decoding does not need (`app.engine.sandbox`), and says so. Over a
pair of sockets the service then sends each `DecodeRequest` as a pickle, which a decoder can trust. A decoder answers
with messages of `app.engine.answers`, since the service must not trust it. The decoder ends when the service closes its
socket, or ends.
"""

import gc
import os
import pickle
import signal
import socket
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import TypeVar

from PIL import Image

from app.engine.answer_headers import Ready
from app.engine.answers import DecodeResult, DecoderFault, Expected, pack, pack_refused_start, pack_result
from app.engine.sandbox.confinement import SandboxError, SandboxSetting, confine
from model.errors import DetectorError, ImageError, ImageTooDemanding, UndecodableImage, UnsupportedImage
from model.imaging.analysis import Choice, FaceAllowance, analyse
from model.imaging.conditions import ConditionDetectors
from model.imaging.crops import require_detector
from model.imaging.decoding import MSG_TOO_DEMANDING, ImageLimits, decode
from model.imaging.detection import FaceFinder
from model.imaging.formats.samples import SAMPLES
from model.imaging.headers import read_header
from model.imaging.preprocessing import PreprocessingConfig
from model.imaging.quality import QualityRanges

E = TypeVar("E", bound=Exception)

# The most that decoding takes for each pixel of a file: lossless WebP with transparency.
BYTES_PER_PIXEL = 18


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """How the checkpoint wants its images, which images are refused, and what decoders may do.

    `limit_s` is the time that one image may take, and `memory_bytes` how much memory, None without a limit. A decoder
    is replaced after that number of `images`.
    """

    preprocessing: PreprocessingConfig
    trained_on: QualityRanges | None
    conditions: ConditionDetectors | None = None
    detector: Path | None
    limits: ImageLimits
    limit_s: float
    sandbox: SandboxSetting = "on"
    memory_bytes: int | None = None
    images: int = 256


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What decoders of a configuration are forked with. `finder` is None if faces are not looked for."""

    config: DecoderConfig
    finder: FaceFinder | None
    refused: DetectorError | None


@dataclass(frozen=True, kw_only=True)
class DecodeRequest:
    """The bytes of an image, which of its faces are asked for, and how many faces the request may still have."""

    image: bytes
    choice: Choice
    allowance: FaceAllowance

    def expected(self, preprocessing: PreprocessingConfig) -> Expected:
        """What its answer can be."""
        choice = "none" if preprocessing.alignment is None else self.choice
        return Expected(input_shape=preprocessing.input_shape, choice=choice, max_faces=self.allowance.left)


def warm_up() -> None:
    """Loads what would be loaded late: a confined decoder can open no file, and so import nothing."""
    import numpy.ma  # noqa: F401 (which NumPy imports late)

    import model.imaging.yunet  # noqa: F401 (by the detector)

    for form in ("JPEG", "PNG", "WEBP"):
        file = BytesIO()
        Image.new("L", (64, 64)).save(file, form)
        decode(file.getvalue(), PreprocessingConfig())
    for sample in SAMPLES.values():
        with suppress(UnsupportedImage):
            decode(sample, PreprocessingConfig())


def prepare(pickled: bytes) -> Prepared:
    """Loads what decoders of a pickled configuration need, once for all that are forked afterwards."""
    config: DecoderConfig = pickle.loads(pickled)  # noqa: S301 (from the service)
    finder, refused = None, None
    try:
        finder = _open_finder(config)
    except DetectorError as error:
        refused = without_traceback(error)
    gc.collect()
    gc.freeze()
    return Prepared(config=config, finder=finder, refused=refused)


def serve(channel: socket.socket, prepared: Prepared) -> None:
    """Replies until the service closes its end. If setup fails, the error is the only reply."""
    config = prepared.config
    with suppress(EOFError, ConnectionError, pickle.UnpicklingError):  # the service has ended, or is ending
        try:
            if prepared.refused:
                raise prepared.refused
            sandbox = confine(config.sandbox, config.memory_bytes, channel.fileno())
        except (DetectorError, SandboxError) as error:
            channel.sendall(pack_refused_start(error))
            return
        stream = channel.makefile("rb")
        channel.sendall(pack(Ready(pid=os.getpid(), sandbox=sandbox)))
        while True:
            channel.sendall(_handle_next(stream, config, prepared.finder))  # in one piece, since each wakes the service


def _open_finder(config: DecoderConfig) -> FaceFinder | None:
    """None for whole pictures, unless the settings name a detector.

    Raises DetectorError if it is not the one that the checkpoint was made with.
    """
    if config.preprocessing.alignment is None and config.detector is None:
        return None
    finder = FaceFinder(config.detector)
    require_detector(config.preprocessing, finder)
    return finder


def _handle_next(stream: BufferedReader, config: DecoderConfig, finder: FaceFinder | None) -> bytes:
    """Waits for a request and returns the answer. A timer of the system ends the process if it takes too long."""
    request: DecodeRequest = pickle.load(stream)  # noqa: S301 (from the service)
    signal.setitimer(signal.ITIMER_REAL, config.limit_s)
    answer = pack_result(handle(request, config, finder))
    signal.setitimer(signal.ITIMER_REAL, 0)
    return answer


def handle(request: DecodeRequest, config: DecoderConfig, finder: FaceFinder | None) -> DecodeResult:
    """Decodes an image, and finds its faces if the checkpoint wants them."""
    started, seconds = time.perf_counter(), {}
    preprocessing, trained_on = config.preprocessing, config.trained_on
    try:
        photo = decode(request.image, preprocessing, config.limits)
        seconds["decode"] = time.perf_counter() - started
        analysis = analyse(
            photo,
            request.choice,
            preprocessing,
            finder,
            trained_on=trained_on,
            conditions=config.conditions,
            allowance=request.allowance,
        )
    except MemoryError:
        return DecodeResult(outcome=ImageTooDemanding(MSG_TOO_DEMANDING), seconds=seconds)
    except ImageError as error:
        if isinstance(error, UndecodableImage) and _may_lack_memory(request.image, config.memory_bytes):
            error = ImageTooDemanding(MSG_TOO_DEMANDING)
        return DecodeResult(outcome=without_traceback(error), seconds=seconds)
    except Exception:
        return DecodeResult(outcome=DecoderFault(traceback.format_exc()), seconds=seconds)
    if preprocessing.alignment:
        seconds["face"] = analysis.face_s
    return DecodeResult(outcome=analysis, seconds=seconds)


def _may_lack_memory(image: bytes, memory_bytes: int | None) -> bool:
    """Whether an image may be intact although it could not be decoded: libraries name no reason if memory lacks."""
    return memory_bytes is not None and read_header(image).pixels * BYTES_PER_PIXEL > memory_bytes


def without_traceback(error: E) -> E:
    """A copy of the error without its traceback, whose frames would keep the image in memory.

    One of the frames would soon refer to the error, too: a cycle, which Python frees only when it collects garbage.
    """
    return type(error)(*error.args)
