"""/verify, /embed and /detect."""

import asyncio
import time

from fastapi import APIRouter

from app.api.analyses import analyse_images, usable
from app.api.bodies.images import read_images
from app.api.inputs import (
    CHOICES,
    CHOICES_OF_EMBED,
    DetectUpload,
    EmbedUpload,
    PairUpload,
    parse_choice,
    parse_crops,
    parse_encoding,
    parse_on_error,
    parse_rule,
    require_faces,
)
from app.api.openapi.bodies import DETECT_BODY, EMBED_BODY, VERIFY_BODY
from app.api.openapi.errors import OF_BODIES, OF_FACES, OF_FORMS, OF_IMAGES, responses_of
from app.api.reports import conditions_of_pair, embeddable_crops, report_embeddings, report_images, report_problems
from app.api.schemas.answers import Detection, EmbeddingList, Verification
from app.api.schemas.decisions import ModelName
from app.api.schemas.images import Timing, milliseconds
from app.api.upload_route import UploadRequest, UploadRoute

router = APIRouter(tags=["images"], route_class=UploadRoute)


async def _read_pair(request: UploadRequest) -> PairUpload:
    form, refused = await read_images(request, ["image1", "image2"], ["threshold", "max_fmr", "face"])
    header = request.inference.header
    return PairUpload(
        images=form.images,
        refused=refused,
        left=form.counts["image1"],
        max_faces=request.settings.max_faces,
        rule=parse_rule(form.fields, header),
        choice=parse_choice(form.fields, header, CHOICES),
    )


@router.post("/verify", openapi_extra=VERIFY_BODY, responses=responses_of(OF_BODIES, OF_FORMS, OF_IMAGES, OF_FACES))
async def verify(request: UploadRequest) -> Verification:
    """Whether two photographs show the same person; of several photographs of one side the embeddings are averaged."""
    upload, inference, reservation = await _read_pair(request), request.inference, request.reservation
    uploaded = time.perf_counter()
    analyses = usable(await analyse_images(upload, inference, reservation.deadline))
    analysed = time.perf_counter()
    crops = [analysis.pixels for analysis in analyses]
    result = await inference.verify(crops[: upload.left], crops[upload.left :], reservation.deadline)
    report = Verification.of(
        result.value,
        upload.rule,
        inference.header,
        conditions_of_pair(analyses[: upload.left], analyses[upload.left :]),
        images=report_images(upload.images, analyses),
        model=ModelName.of(inference.header),
        timing_ms=Timing(
            decode=milliseconds(analysed - uploaded),
            face=milliseconds(max(analysis.face_s for analysis in analyses)),
            queue=milliseconds(result.queue_s),
            inference=milliseconds(result.work_s),
            total=milliseconds(time.perf_counter() - reservation.started),
        ),
        request_id=request.request_id,
    )
    request.metrics.decisions.labels(report.decision).inc()
    return report


async def _read_images_to_embed(request: UploadRequest) -> EmbedUpload:
    fields = ["encoding_format", "face", "on_error"]
    form, refused = await read_images(request, ["image"], fields, numbered=True)
    return EmbedUpload(
        images=form.images,
        refused=refused,
        report=parse_on_error(form.fields),
        max_faces=request.settings.max_faces,
        encoding=parse_encoding(form.fields),
        choice=parse_choice(form.fields, request.inference.header, CHOICES_OF_EMBED),
    )


@router.post(
    "/embed",
    openapi_extra=EMBED_BODY,
    responses=responses_of(OF_BODIES, OF_FORMS, OF_IMAGES, OF_FACES, "too_many_faces"),
)
async def embed(request: UploadRequest) -> EmbeddingList:
    """The embeddings of one or more images, to be stored and compared later; of one face each, or of all."""
    upload, inference, reservation = await _read_images_to_embed(request), request.inference, request.reservation
    outcomes = await analyse_images(upload, inference, reservation.deadline)
    crops = embeddable_crops(outcomes)
    result = await inference.embed([crop.pixels for crop in crops], reservation.deadline)
    return EmbeddingList(
        object="list",
        data=report_embeddings(crops, result.value, upload.encoding),
        images=report_images(upload.images, outcomes),
        problems=report_problems(outcomes, request.request_id),
        model=ModelName.of(inference.header),
        dimension=inference.header.network.dimension,
        request_id=request.request_id,
    )


async def _read_images_to_search(request: UploadRequest) -> DetectUpload:
    form, refused = await read_images(request, ["image"], ["crops", "on_error"], numbered=True)
    require_faces(request.inference.header)
    return DetectUpload(
        images=form.images,
        refused=refused,
        report=parse_on_error(form.fields),
        max_faces=request.settings.max_faces,
        choice="any",
        crops=parse_crops(form.fields),
    )


@router.post(
    "/detect", openapi_extra=DETECT_BODY, responses=responses_of(OF_BODIES, OF_FORMS, OF_IMAGES, "too_many_faces")
)
async def detect(request: UploadRequest) -> Detection:
    """Every face of one or more images, with what was measured of it; an image may have none."""
    upload = await _read_images_to_search(request)
    outcomes = await analyse_images(upload, request.inference, request.reservation.deadline)
    if upload.crops:  # they are compressed beside the event loop
        images = await asyncio.to_thread(report_images, upload.images, outcomes, crops=True)
    else:
        images = report_images(upload.images, outcomes)
    return Detection(
        images=images,
        problems=report_problems(outcomes, request.request_id),
        request_id=request.request_id,
    )
