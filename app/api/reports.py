"""What an answer says of the model and of the images it was asked about, and which of their faces are embedded."""

from dataclasses import dataclass

from app.api.schemas import Box, FaceReport, ImageReport, ModelName, QualityReport
from model.arrays import Pixels
from model.checkpoint import Header
from model.imaging.analysis import AnalysedFace, ImageAnalysis
from model.imaging.detection import LANDMARKS

PLACES_PX = 1
PLACES = 4


@dataclass(frozen=True, kw_only=True)
class View:
    """What the network sees, uint8: of which image, and which of its faces if one was looked for."""

    image: int
    face: int | None
    pixels: Pixels


def views_of(number: int, analysis: ImageAnalysis) -> list[View]:
    """What is embedded of an image: itself, or the faces asked for that have enough pixels."""
    if analysis.whole is not None:
        return [View(image=number, face=None, pixels=analysis.whole)]
    return [View(image=number, face=face.index, pixels=face.pixels) for face in analysis.faces if face.usable]


def report_image(field: str, analysis: ImageAnalysis) -> ImageReport:
    """An image with the face that was taken, or with all of them if all were asked for."""
    faces = [_face(face) for face in analysis.faces]
    return ImageReport(
        field=field,
        width=analysis.width_px,
        height=analysis.height_px,
        format=analysis.format,
        faces_found=analysis.faces_found,
        face=None if analysis.all_faces or not faces else faces[0],
        faces=faces if analysis.all_faces else None,
        warnings=analysis.warnings,
    )


def _face(seen: AnalysedFace) -> FaceReport:
    x, y, width, height = (round(value, PLACES_PX) for value in seen.face.box)
    return FaceReport(
        index=seen.index,
        box=Box(x=x, y=y, width=width, height=height),
        landmarks={name: _point(*point) for name, point in zip(LANDMARKS, seen.face.landmarks.tolist(), strict=True)},
        score=round(seen.face.score, PLACES),
        quality=QualityReport(**{name: round(value, PLACES_PX) for name, value in vars(seen.quality).items()}),
        warnings=seen.warnings,
    )


def _point(x: float, y: float) -> tuple[float, float]:
    return round(x, PLACES_PX), round(y, PLACES_PX)


def name_model(header: Header) -> ModelName:
    """Which model answers."""
    return ModelName(name=header.name, embedding_sha256=header.embedding_sha256)
