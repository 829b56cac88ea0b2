"""What an answer says of images and embeddings, and which faces of an image are embedded.

B crops, D embedding
"""

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from PIL import Image

from app.api.analyses import Outcomes
from app.api.embedding_inputs import encode_base64
from app.api.problems import Problem
from app.api.schemas.answers import EmbeddedFace
from app.api.schemas.images import Box, FaceReport, ImageReport, QualityReport
from app.api.schemas.problem import ProblemDetail
from model.arrays import Embeddings, Pixels
from model.conditions import shared_conditions
from model.imaging.analysis import AnalysedFace, ImageAnalysis
from model.imaging.detection import LANDMARKS

PLACES_PX = 1
PLACES = 4


@dataclass(frozen=True, kw_only=True)
class EmbeddableCrop:
    """What the network sees, uint8: a face of an image, or the whole image if `face` is None."""

    image: int
    face: int | None
    pixels: Pixels
    conditions: list[str] | None = None


def embeddable_crops(outcomes: Outcomes) -> list[EmbeddableCrop]:
    """Of each image the whole picture, or those of its faces asked for that have enough pixels."""
    crops = []
    for number, analysis in enumerate(outcomes):
        if isinstance(analysis, Problem):
            continue
        if analysis.whole is not None:
            crops.append(EmbeddableCrop(image=number, face=None, pixels=analysis.whole))
        crops += [
            EmbeddableCrop(image=number, face=face.index, pixels=face.pixels, conditions=face.conditions)
            for face in analysis.faces
            if face.usable
        ]
    return crops


def report_embeddings(crops: Sequence[EmbeddableCrop], embeddings: Embeddings, encoding: str) -> list[EmbeddedFace]:
    """The embeddings (B, D) of the crops, as numbers or in base64."""
    return [
        EmbeddedFace(
            object="embedding",
            index=index,
            image=crop.image,
            face=crop.face,
            embedding=encode_base64(values) if encoding == "base64" else values.tolist(),
            conditions=crop.conditions,
        )
        for index, (crop, values) in enumerate(zip(crops, embeddings, strict=True))
    ]


def conditions_of_pair(left: Sequence[ImageAnalysis], right: Sequence[ImageAnalysis]) -> list[str] | None:
    """The conditions of the pair of /verify, or None if those of an image are not known."""
    sides = [[face.conditions for analysis in side for face in analysis.faces[:1]] for side in (left, right)]
    known = [[names for names in side if names is not None] for side in sides]
    if list(map(len, known)) != [len(left), len(right)]:
        return None
    return shared_conditions(*known)


def report_images(
    fields: Iterable[str], outcomes: Sequence[ImageAnalysis | Problem], *, crops: bool = False
) -> list[ImageReport]:
    """Each image without a problem, under the name of its field, with the face that was taken, or with all if all were
    asked for; with their crops if these were.
    """
    return [
        _report_image(field, outcome, crops)
        for field, outcome in zip(fields, outcomes, strict=True)
        if not isinstance(outcome, Problem)
    ]


def report_problems(outcomes: Outcomes, request_id: str) -> list[ProblemDetail]:
    """The problems of single images."""
    return [ProblemDetail.of(outcome, request_id) for outcome in outcomes if isinstance(outcome, Problem)]


def encode_png(crop: Pixels) -> str:
    """uint8 (H, W) or (H, W, 3) -> a PNG in base64."""
    buffer = io.BytesIO()
    Image.fromarray(crop).save(buffer, "PNG", compress_level=1)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _report_image(field: str, analysis: ImageAnalysis, crops: bool) -> ImageReport:
    faces = [_report_face(face, crops) for face in analysis.faces]
    return ImageReport(
        field=field,
        width=analysis.width_px,
        height=analysis.height_px,
        orientation=analysis.orientation,
        format=analysis.format,
        faces_found=analysis.faces_found,
        face=None if analysis.all_faces or not faces else faces[0],
        faces=faces if analysis.all_faces else None,
        warnings=analysis.warnings,
    )


def _report_face(analysed: AnalysedFace, crops: bool) -> FaceReport:
    face, quality = analysed.face, analysed.quality
    x, y, width, height = (round(value, PLACES_PX) for value in face.box)
    return FaceReport(
        index=analysed.index,
        box=Box(x=x, y=y, width=width, height=height),
        landmarks={name: _point(*point) for name, point in zip(LANDMARKS, face.landmarks.tolist(), strict=True)},
        score=round(face.score, PLACES),
        conditions=analysed.conditions,
        quality=QualityReport(**{name: round(value, PLACES_PX) for name, value in vars(quality).items()}),
        warnings=analysed.warnings,
        crop=encode_png(analysed.pixels) if crops else None,
    )


def _point(x: float, y: float) -> tuple[float, float]:
    return round(x, PLACES_PX), round(y, PLACES_PX)
