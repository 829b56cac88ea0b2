"""The routes that work on images: each gets a checked upload, hands the work to `Inference`, and reports the result."""

import asyncio
import time
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends

from app.api.bodies.form import Form, FormLimits, PartRule
from app.api.bodies.pixels import take_on_pixels
from app.api.bodies.reading import read_form, read_json
from app.api.dependencies import InferenceDep, MetricsDep, RequestIdDep, ReservationDep, SettingsDep
from app.api.inputs import (
    CHOICES,
    CHOICES_OF_EMBED,
    EmbeddingPair,
    EmbedUpload,
    ImagesUpload,
    PairUpload,
    max_json_bytes,
    parse_choice,
    parse_embedding_pair,
    parse_encoding,
    parse_rule,
    require_faces,
)
from app.api.openapi import COMPARE_BODY, DETECT_BODY, EMBED_BODY, PROBLEMS, VERIFY_BODY
from app.api.problems import Problem, from_domain
from app.api.reports import conditions_of_pair, embeddable_crops, report_embeddings, report_images
from app.api.schemas.answers import Comparison, Detection, EmbeddingList, Verification
from app.api.schemas.decisions import ModelName
from app.api.schemas.images import Timing
from app.api.upload_route import UploadRequest, UploadRoute
from app.engine.inference import Inference
from app.settings import Settings
from model.errors import ImageError
from model.imaging.analysis import FaceAllowance, ImageAnalysis, TooManyTogether

MSG_CLEAN = "the rates hold for clean photographs only; send the conditions that /embed gave with the embeddings"

router = APIRouter(responses=PROBLEMS, route_class=UploadRoute)


async def _read_pair(request: UploadRequest, settings: SettingsDep, inference: InferenceDep) -> PairUpload:
    form = await _read_images(request, settings, ["image1", "image2"], ["threshold", "max_fmr", "face"])
    return PairUpload(
        images=form.images,
        left=form.counts["image1"],
        max_faces=settings.max_faces,
        rule=parse_rule(form.fields, inference.header),
        choice=parse_choice(form.fields, inference.header, CHOICES),
    )


@router.post("/verify", openapi_extra=VERIFY_BODY)
async def verify(
    upload: Annotated[PairUpload, Depends(_read_pair)],
    inference: InferenceDep,
    metrics: MetricsDep,
    reservation: ReservationDep,
    request_id: RequestIdDep,
) -> Verification:
    """Whether two photographs show the same person; of several photographs of one side the embeddings are averaged."""
    uploaded = time.perf_counter()
    analyses = await analyse_images(upload, inference, reservation.deadline)
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
            decode=_ms(analysed - uploaded),
            face=_ms(max(analysis.face_s for analysis in analyses)),
            queue=_ms(result.queue_s),
            inference=_ms(result.work_s),
            total=_ms(time.perf_counter() - reservation.started),
        ),
        request_id=request_id,
    )
    metrics.decisions.labels(report.decision).inc()
    return report


async def _read_images_to_embed(request: UploadRequest, settings: SettingsDep, inference: InferenceDep) -> EmbedUpload:
    form = await _read_images(request, settings, ["image"], ["encoding_format", "face"], numbered=True)
    return EmbedUpload(
        images=form.images,
        max_faces=settings.max_faces,
        encoding=parse_encoding(form.fields),
        choice=parse_choice(form.fields, inference.header, CHOICES_OF_EMBED),
    )


@router.post("/embed", openapi_extra=EMBED_BODY)
async def embed(
    upload: Annotated[EmbedUpload, Depends(_read_images_to_embed)],
    inference: InferenceDep,
    reservation: ReservationDep,
    request_id: RequestIdDep,
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


async def _read_images_to_search(
    request: UploadRequest, settings: SettingsDep, inference: InferenceDep
) -> ImagesUpload:
    form = await _read_images(request, settings, ["image"], [], numbered=True)
    require_faces(inference.header)
    return ImagesUpload(images=form.images, max_faces=settings.max_faces, choice="any")


@router.post("/detect", openapi_extra=DETECT_BODY)
async def detect(
    upload: Annotated[ImagesUpload, Depends(_read_images_to_search)],
    inference: InferenceDep,
    reservation: ReservationDep,
    request_id: RequestIdDep,
) -> Detection:
    """Every face of one or more images, with what was measured of it; an image may have none."""
    analyses = await analyse_images(upload, inference, reservation.deadline)
    return Detection(images=report_images(upload.images, analyses), request_id=request_id)


async def _read_embedding_pair(request: UploadRequest, settings: SettingsDep, inference: InferenceDep) -> EmbeddingPair:
    most = max(2, settings.max_images)
    limit = max_json_bytes(inference.header.network.dimension, most)
    body = await read_json(request, limit)
    return parse_embedding_pair(body, inference.header, most)


@router.post("/compare", openapi_extra=COMPARE_BODY)
async def compare(
    pair: Annotated[EmbeddingPair, Depends(_read_embedding_pair)],
    inference: InferenceDep,
    metrics: MetricsDep,
    reservation: ReservationDep,
    request_id: RequestIdDep,
) -> Comparison:
    """The decision of /verify for stored embeddings, one or several of each side."""
    result = await inference.compare(pair.left, pair.right, reservation.deadline)
    unknown = pair.shared is None and inference.header.condition_rates
    report = Comparison.of(
        result.value,
        pair.rule,
        inference.header,
        pair.shared,
        warnings=[MSG_CLEAN] if unknown else [],
        model=ModelName.of(inference.header),
        request_id=request_id,
    )
    metrics.decisions.labels(report.decision).inc()
    return report


async def _read_images(
    request: UploadRequest, settings: Settings, images: Sequence[str], fields: Sequence[str], *, numbered: bool = False
) -> Form:
    """A form with these parts, each image at least once, within the limits of a request. Raises Problem."""
    image = PartRule(max_bytes=settings.max_image_bytes, required=True, image=True, numbered=numbered)
    rules = {**dict.fromkeys(images, image), **dict.fromkeys(fields, PartRule())}
    limits = FormLimits(max_images=settings.max_images, max_bytes=settings.max_request_bytes)
    form = await read_form(request, rules, limits)
    take_on_pixels(form.images, settings, request.reservation)
    return form


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
