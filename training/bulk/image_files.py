"""Image files, one after the other: read, decoded, searched for faces and embedded, by the functions of the service.

Processes that do this load no PyTorch on a CPU.

B crops, D embedding
"""

import hashlib
import signal
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from model.arrays import Embeddings, Pixels
from model.checkpoint import Header, load
from model.errors import (
    CheckpointError,
    DeviceExhausted,
    DeviceLost,
    FacepairError,
    FaceTooSmall,
    FileTooLarge,
    ImageError,
    ImageTooDemanding,
    UndecodableImage,
    UnreadableFile,
)
from model.imaging.analysis import Choice, FaceAllowance, ImageAnalysis, analyse
from model.imaging.crops import require_detector
from model.imaging.decoding import MSG_TOO_DEMANDING, decode
from model.imaging.detection import FaceFinder
from model.verifier import Verifier

# The service's defaults: the largest file, the most faces of an image, the time for one, crops in a pass.
MAX_BYTES = 20 * 1024 * 1024
MAX_FACES = 64
LIMIT_S = 30.0
MAX_BATCH = 16
MSG_ENDED = "decoding it ended the process that tried, or took too long; convert it to another form, such as PNG"


@dataclass(frozen=True, kw_only=True)
class ImageTask:
    """How images are embedded: the checkpoint, as it was when the work began, the device, and which faces."""

    weights: Path
    checkpoint_sha256: str
    device: str
    choice: Choice


@dataclass(kw_only=True)
class Row:
    """An embedding (D,) of a file, or the problem of a file without one. `face` is None for a whole picture."""

    path: str
    sha256: str | None = None
    face: int | None = None
    faces_found: int | None = None
    conditions: list[str] | None = None
    warnings: list[str] = field(default_factory=list)
    embedding: Embeddings | None = None
    code: str | None = None
    detail: str | None = None

    def fail(self, error: FacepairError) -> None:
        """Makes the error the file's problem."""
        self.code, self.detail, self.embedding = error.code, str(error), None


class ImageEmbedder:
    """A checkpoint's network and the face detector, on one thread."""

    def __init__(self, task: ImageTask) -> None:
        """Raises FacepairError."""
        checkpoint = load(task.weights)
        self.header: Header = checkpoint.header
        if self.header.checkpoint_sha256 != task.checkpoint_sha256:
            raise CheckpointError(f"{task.weights}: is another checkpoint than when the work began; start again")
        self._verifier = Verifier.of(checkpoint, task.device, threads=1)
        self._choice = task.choice
        self._finder = FaceFinder() if self.header.preprocessing.alignment else None
        if self._finder:
            require_detector(self.header.preprocessing, self._finder)

    def read(self, path: Path, name: str) -> list[tuple[Row, Pixels | None]]:
        """A row for each face that was asked for, with its crop, or a row with the file's problem."""
        row = Row(path=name)
        try:
            data = read_file(path)
            row.sha256 = hashlib.sha256(data).hexdigest()
            with _limited(LIMIT_S):
                analysis = self._analyse(data)
        except MemoryError:
            row.fail(ImageTooDemanding(MSG_TOO_DEMANDING))
        except ImageError as error:
            row.fail(error)
        else:
            return list(_rows(row, analysis))
        return [(row, None)]

    def _analyse(self, data: bytes) -> ImageAnalysis:
        header = self.header
        return analyse(
            decode(data, header.preprocessing),
            self._choice,
            header.preprocessing,
            self._finder,
            trained_on=header.trained_on,
            conditions=header.conditions,
            allowance=FaceAllowance(MAX_FACES),
        )

    def embed(self, rows: Sequence[tuple[Row, Pixels]]) -> None:
        """Gives each row the embedding of its crop, or the problem that the network had with it. Raises DeviceLost."""
        for start in range(0, len(rows), MAX_BATCH):
            self._embed(rows[start : start + MAX_BATCH])

    def _embed(self, rows: Sequence[tuple[Row, Pixels]]) -> None:
        """Of a batch that fails each crop is tried by itself."""
        try:
            embeddings = self._verifier.embed(np.stack([crop for _, crop in rows]))
        except DeviceLost:
            raise
        except FacepairError as error:
            if isinstance(error, DeviceExhausted):
                self._verifier.embedder.release_memory()
            if len(rows) == 1:
                rows[0][0].fail(error)
                return
            for each in rows:
                self._embed([each])
            return
        for (row, _), embedding in zip(rows, embeddings, strict=True):
            row.embedding = embedding


def read_file(path: Path) -> bytes:
    """The bytes of a plain file that is not too large. Raises UnreadableFile or FileTooLarge."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableFile("it is no plain file")
        if status.st_size > MAX_BYTES:
            raise FileTooLarge(f"the file has more than {MAX_BYTES:,} bytes; make the image smaller")
        return path.read_bytes()
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        raise UnreadableFile(f"the file cannot be read: {getattr(error, 'strerror', None) or error}") from error


def ended_row(name: str) -> Row:
    """The row of a file that ended processes."""
    row = Row(path=name)
    row.fail(UndecodableImage(MSG_ENDED))
    return row


def _rows(row: Row, analysis: ImageAnalysis) -> Iterator[tuple[Row, Pixels | None]]:
    row.faces_found = analysis.faces_found
    if analysis.whole is not None:
        row.warnings = analysis.warnings
        yield row, analysis.whole
        return
    usable = [face for face in analysis.faces if face.usable]
    for face in usable:
        yield (
            Row(
                path=row.path,
                sha256=row.sha256,
                face=face.index,
                faces_found=row.faces_found,
                conditions=face.conditions,
                warnings=[*analysis.warnings, *face.warnings] if analysis.all_faces else analysis.warnings,
            ),
            face.pixels,
        )
    if not usable:
        row.fail(FaceTooSmall("no face of the image has enough pixels"))
        yield row, None


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """A timer of the system ends the process if the block takes longer: decoders may hang in C."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
