"""The routes that work on images: each gets a checked upload, hands the work to `Inference`, and reports the result."""

import asyncio
import time

from fastapi import APIRouter

from app.api.dependencies import (
    DetectUploadDep,
    EmbeddingPairDep,
    EmbedUploadDep,
    InferenceDep,
    PairUploadDep,
    RequestIdDep,
    ReservationDep,
)
from app.api.inputs import ImagesUpload
from app.api.openapi import COMPARE_BODY, DETECT_BODY, EMBED_BODY, PROBLEMS, VERIFY_BODY
from app.api.problems import Problem, from_domain
from app.api.reports import embeddable_crops, report_embeddings, report_images
from app.api.schemas import Comparison, Detection, EmbeddingList, ModelName, Timing, Verification
from app.api.upload_route import UploadRoute
from app.engine.inference import Inference
from model.errors import ImageError
from model.imaging.analysis import FaceAllowance, ImageAnalysis, TooManyTogether

router = APIRouter(responses=PROBLEMS, route_class=UploadRoute)


@router.post("/verify", openapi_extra=VERIFY_BODY)
async def verify(
    upload: PairUploadDep, inference: InferenceDep, reservation: ReservationDep, request_id: RequestIdDep
) -> Verification:
    """Whether two photographs show the same person."""
    uploaded = time.perf_counter()
    left, right = await analyse_images(upload, inference, reservation.deadline)
    analysed = time.perf_counter()
    result = await inference.verify(left.pixels, right.pixels, reservation.deadline)
    return Verification.of(
        result.value,
        upload.rule,
        inference.header,
        images=report_images(upload.images, [left, right]),
        model=ModelName.of(inference.header),
        timing_ms=Timing(
            decode=_ms(analysed - uploaded),
            face=_ms(max(left.face_s, right.face_s)),
            queue=_ms(result.queue_s),
            inference=_ms(result.work_s),
            total=_ms(time.perf_counter() - reservation.started),
        ),
        request_id=request_id,
    )


@router.post("/embed", openapi_extra=EMBED_BODY)
async def embed(
    upload: EmbedUploadDep, inference: InferenceDep, reservation: ReservationDep, request_id: RequestIdDep
) -> EmbeddingList:
    """The embeddings of one or more images, to be stored and compared later; of one face each, or of all."""
    analyses = await analyse_images(upload, inference, reservation.deadline)
    crops = embeddable_crops(analyses)
    result = await inference.embed([crop.pixels for crop in crops], reservation.deadline)
    return EmbeddingList(
        object="list",
        data=report_embeddings(crops, result.value, upload.encoding),
        images=report_images(upload.images, analyses),
        model=ModelName.of(inference.header),
        dimension=inference.header.network.dimension,
        request_id=request_id,
    )


@router.post("/detect", openapi_extra=DETECT_BODY)
async def detect(
    upload: DetectUploadDep, inference: InferenceDep, reservation: ReservationDep, request_id: RequestIdDep
) -> Detection:
    """Every face of one or more images, with what was measured of it; an image may have none."""
    analyses = await analyse_images(upload, inference, reservation.deadline)
    return Detection(images=report_images(upload.images, analyses), request_id=request_id)


@router.post("/compare", openapi_extra=COMPARE_BODY)
async def compare(
    pair: EmbeddingPairDep, inference: InferenceDep, reservation: ReservationDep, request_id: RequestIdDep
) -> Comparison:
    """The decision of /verify for two stored embeddings."""
    result = await inference.compare(pair.left, pair.right, reservation.deadline)
    return Comparison.of(
        result.value, pair.rule, inference.header, model=ModelName.of(inference.header), request_id=request_id
    )


async def analyse_images(upload: ImagesUpload, inference: Inference, deadline: float) -> list[ImageAnalysis]:
    """All images, analysed at the same time. Raises Problem with the name of the first that cannot be used."""
    faces = FaceAllowance(upload.max_faces)

    async def analyse(field: str, image: bytes) -> ImageAnalysis:
        try:
            return await inference.analyse(image, upload.choice, faces, deadline)
        except TooManyTogether as error:
            raise Problem("too_many_faces", str(error), "image") from error
        except ImageError as error:
            raise from_domain(error, field) from error

    results = await asyncio.gather(*(analyse(*item) for item in upload.images.items()), return_exceptions=True)
    analyses = []
    for result in results:
        if isinstance(result, BaseException):
            try:
                raise result
            finally:
                del result, results  # else the exception and this frame would hold each other, and the images
        analyses.append(result)
    return analyses


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)
