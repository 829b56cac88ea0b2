"""/explain."""

import asyncio
from dataclasses import dataclass

from fastapi import APIRouter

from app.api.analyses import analyse_images, usable
from app.api.bodies.images import read_images
from app.api.inputs import ImagesUpload, parse_face_number, require_faces
from app.api.openapi.bodies import EXPLAIN_BODY
from app.api.openapi.errors import OF_BODIES, OF_FACES, OF_FORMS, OF_IMAGES, responses_of
from app.api.problems import Problem
from app.api.reports import encode_png
from app.api.schemas.decisions import ModelName
from app.api.schemas.explanation import ExplainedImage, Explanation
from app.api.upload_route import UploadRequest, UploadRoute
from app.engine.inference import Inference
from app.engine.occlusion import blur_patches, influence
from model.arrays import Pixels
from model.imaging.analysis import ImageAnalysis

DIGITS = 4

router = APIRouter(tags=["images"], route_class=UploadRoute)


@dataclass(frozen=True, kw_only=True)
class ExplainUpload(ImagesUpload):
    """One image of each side, and which of its faces is meant; 0 is the largest."""

    faces: tuple[int, int]


async def _read_pair(request: UploadRequest) -> ExplainUpload:
    form, refused = await read_images(request, ["image1", "image2"], ["face1", "face2"])
    for name, count in form.counts.items():
        if name.startswith("image") and count > 1:
            raise Problem("too_many_images", "one image of each side is explained; send the others by themselves", name)
    faces = parse_face_number(form.fields, "face1"), parse_face_number(form.fields, "face2")
    header = request.inference.header
    for name in form.fields:
        require_faces(header, name)
    whole = header.preprocessing.alignment is None
    return ExplainUpload(
        images=form.images,
        refused=refused,
        max_faces=request.settings.max_faces,
        choice="none" if whole else "all" if form.fields else "largest",
        faces=faces,
    )


@router.post(
    "/explain",
    openapi_extra=EXPLAIN_BODY,
    responses=responses_of(OF_BODIES, OF_FORMS, OF_IMAGES, OF_FACES, "too_many_faces"),
)
async def explain(request: UploadRequest) -> Explanation:
    """Which parts of two faces speak for one person and which against: each of the 6 x 6 parts of either is blurred,
    and the pair compared again. These comparisons count as 72 further images of the request.
    """
    upload, inference, reservation = await _read_pair(request), request.inference, request.reservation
    analyses = usable(await analyse_images(upload, inference, reservation.deadline))
    crops = [_crop_of(*each) for each in zip(upload.images, analyses, upload.faces, strict=True)]
    copies = await asyncio.to_thread(lambda: [blur_patches(crop) for crop in crops])
    reservation.extend_work(sum(map(len, copies)))
    most = max(1, request.settings.max_batch - len(crops))
    [whole] = (await inference.verify_pairs(crops, [(0, 1)], reservation.deadline)).value
    without = [
        await _compare_copies(crops, side, copies[side], inference, reservation.deadline, most) for side in (0, 1)
    ]
    return Explanation(
        similarity=whole.similarity,
        images=[
            ExplainedImage(
                field=field,
                face=None if analysis.whole is not None else face,
                crop=encode_png(crop),
                influence=influence(whole.similarity, values).round(DIGITS).tolist(),
            )
            for field, analysis, face, crop, values in zip(
                upload.images, analyses, upload.faces, crops, without, strict=True
            )
        ],
        model=ModelName.of(inference.header),
        request_id=request.request_id,
    )


def _crop_of(field: str, analysis: ImageAnalysis, face: int) -> Pixels:
    """What the network sees of the face that is meant. Raises Problem."""
    if analysis.whole is not None:
        return analysis.whole
    chosen = next((each for each in analysis.faces if each.index == face), None)
    if chosen is None:
        name = field.replace("image", "face")
        raise Problem("invalid_field", f"the image has {analysis.faces_found} faces, numbered from 0", name)
    if not chosen.usable:
        raise Problem("face_too_small", "this face has too few pixels; choose another, or a larger picture", field)
    return chosen.pixels


async def _compare_copies(
    crops: list[Pixels], side: int, copies: list[Pixels], inference: Inference, deadline: float, most: int
) -> list[float]:
    """The similarity of the pair with each copy in the place of the crop of one side, at most `most` copies at a time,
    so that other requests come in between.
    """
    similarities: list[float] = []
    for start in range(0, len(copies), most):
        part = copies[start : start + most]
        numbers = range(len(crops), len(crops) + len(part))
        pairs = [(0, number) if side else (number, 1) for number in numbers]
        compared = (await inference.verify_pairs([*crops, *part], pairs, deadline)).value
        similarities += [each.similarity for each in compared]
    return similarities
