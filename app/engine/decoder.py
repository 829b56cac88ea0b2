"""A decoder: a process that decodes images and finds their faces, one image at a time, as its service asks it to.

It shares no interpreter's lock with the network, and what an image does to its process ends no other request. Service
and decoder speak pickle over a pair of sockets: `Setup`, answered by the process's number when it is ready, and then
any number of `Task`, each answered by an `Answer`. Answers have their length before them, for a reader that must not
wait. The decoder ends with the service, whose end of the sockets closes then.
"""

import gc
import os
import pickle
import signal
import socket
import struct
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import TypeVar, get_args

from PIL import Image

from model.errors import DetectorError, ImageError
from model.imaging.analysis import Choice, FaceAllowance, ImageAnalysis, analyse
from model.imaging.crops import require_detector
from model.imaging.decoding import Format, ImageLimits, decode
from model.imaging.detection import FaceFinder
from model.imaging.preprocessing import PreprocessingConfig
from model.imaging.quality import QualityRanges

E = TypeVar("E", bound=Exception)

# Before an answer: how many bytes it has.
LENGTH = struct.Struct("!Q")


class DecoderFault(Exception):
    """Something failed that is no fault of the image; the message is the decoder's traceback."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """How the checkpoint wants its images, what is refused, and for how long a decoder may be at one image."""

    config: PreprocessingConfig
    trained_on: QualityRanges | None
    detector: Path | None
    limits: ImageLimits
    limit_s: float


@dataclass(frozen=True, kw_only=True)
class Task:
    """The bytes of an image, which of its faces are asked for, and how many the request may still have."""

    data: bytes
    choice: Choice
    faces: FaceAllowance


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of a task, and the seconds that each of its stages took."""

    outcome: ImageAnalysis | ImageError | DecoderFault
    seconds: dict[str, float]


def warm_up() -> None:
    """Makes Pillow load its parts, which it does at the first picture of a format."""
    for form in get_args(Format):
        file = BytesIO()
        Image.new("L", (64, 64)).save(file, form)
        decode(file.getvalue(), PreprocessingConfig())


def serve(channel: socket.socket) -> None:
    """Answers until the service has closed its end; what it cannot be set up with is its first and last answer."""
    stream = channel.makefile("rb")
    with suppress(EOFError, ConnectionError, pickle.UnpicklingError):  # the service has ended, or ends
        setup: Setup = pickle.load(stream)  # noqa: S301 (of the service)
        try:
            finder = _open_finder(setup)
        except DetectorError as error:
            _say(channel, error)
            return
        gc.freeze()
        _say(channel, os.getpid())
        while True:
            _say(channel, _answer_next(stream, setup, finder))


def _open_finder(setup: Setup) -> FaceFinder | None:
    """None for whole pictures, unless one is named.

    Raises DetectorError if it is not the one that the checkpoint was made with.
    """
    if setup.config.alignment is None and setup.detector is None:
        return None
    finder = FaceFinder(setup.detector)
    require_detector(setup.config, finder)
    return finder


def _answer_next(stream: BufferedReader, setup: Setup, finder: FaceFinder | None) -> Answer:
    """Waits for a task. What takes longer than it may ends the process, in whichever library it is."""
    task: Task = pickle.load(stream)  # noqa: S301 (of the service)
    signal.setitimer(signal.ITIMER_REAL, setup.limit_s)
    answer = work(task, setup, finder)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return answer


def work(task: Task, setup: Setup, finder: FaceFinder | None) -> Answer:
    """Decodes an image, and looks for its faces where the checkpoint wants them."""
    started, seconds = time.perf_counter(), {}
    try:
        photo = decode(task.data, setup.config, setup.limits)
        seconds["decode"] = time.perf_counter() - started
        analysis = analyse(photo, task.choice, setup.config, finder, trained_on=setup.trained_on, allowance=task.faces)
    except ImageError as error:
        return Answer(outcome=anew(error), seconds=seconds)
    except Exception:
        return Answer(outcome=DecoderFault(traceback.format_exc()), seconds=seconds)
    if setup.config.alignment:
        seconds["face"] = analysis.face_s
    return Answer(outcome=analysis, seconds=seconds)


def anew(error: E) -> E:
    """The same error without where it was raised: the frames there hold the image, and one of them, sooner or later,
    the error, so that both would stay until Python looks for such circles.
    """
    return type(error)(*error.args)


def _say(channel: socket.socket, what: object) -> None:
    message = pickle.dumps(what)
    channel.sendall(LENGTH.pack(len(message)) + message)  # at once, since each part wakes the service
