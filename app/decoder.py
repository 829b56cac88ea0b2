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
from typing import get_args

from PIL import Image

from app.analysis import Choice, FaceAllowance, ImageAnalysis, analyse
from model.errors import ImageError
from model.faces import FaceFinder
from model.photographs import Format, ImageLimits, decode
from model.preprocessing import PreprocessingConfig
from model.quality import QualityRanges

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
    """Answers until the service has closed its end. Raises FacepairError if it cannot do what the setup says."""
    stream = channel.makefile("rb")
    with suppress(EOFError, ConnectionError, pickle.UnpicklingError):  # the service has ended, or ends
        setup: Setup = pickle.load(stream)  # noqa: S301 (of the service)
        finder = FaceFinder(setup.detector) if setup.config.alignment else None
        gc.freeze()
        _say(channel, os.getpid())
        while True:
            _say(channel, _answer_next(stream, setup, finder))


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
        photograph = decode(task.data, setup.config, setup.limits)
        seconds["decode"] = time.perf_counter() - started
        analysis = analyse(photograph, task.choice, setup.config, setup.trained_on, finder, task.faces)
    except ImageError as error:
        return Answer(outcome=error, seconds=seconds)
    except Exception:
        return Answer(outcome=DecoderFault(traceback.format_exc()), seconds=seconds)
    if setup.config.alignment:
        seconds["face"] = analysis.face_s
    return Answer(outcome=analysis, seconds=seconds)


def _say(channel: socket.socket, what: object) -> None:
    message = pickle.dumps(what)
    channel.sendall(LENGTH.pack(len(message)) + message)  # at once, since each part wakes the service
