"""The routes that work on images: each gets a checked upload, hands the work to `Inference`, and reports the result."""

import asyncio
import time
from typing import Annotated

from fastapi import APIRouter, Depends

from app.api.dependencies import InferenceDep, RequestIdDep, ReservationDep, SettingsDep
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
from app.api.reports import embeddable_crops, report_embeddings, report_images
from app.api.schemas import Comparison, Detection, EmbeddingList, ModelName, Timing, Verification
from app.api.upload_route import UploadRequest, UploadRoute
from app.api.uploads import PartRule, read_body, read_form
from app.engine.inference import Inference
from app.settings import Settings
from model.errors import ImageError
from model.imaging.analysis import FaceAllowance, ImageAnalysis, TooManyTogether

router = APIRouter(responses=PROBLEMS, route_class=UploadRoute)


async def _read_pair(request: UploadRequest, settings: SettingsDep, inference: InferenceDep) -> PairUpload:
    image = PartRule(max_bytes=settings.max_image_bytes, required=True, image=True)
    options = dict.fromkeys(("threshold", "max_fmr", "face"), PartRule())
    form = await read_form(request, {"image1": image, "image2": image, **options})
    return PairUpload(
        images=form.images,
        max_faces=settings.max_faces,
        rule=parse_rule(form.fields, inference.header),
        choice=parse_choice(form.fields, inference.header, CHOICES),
    )


@router.post("/verify", openapi_extra=VERIFY_BODY)
async def verify(
    upload: Annotated[PairUpload, Depends(_read_pair)],
    inference: InferenceDep,
    reservation: ReservationDep,
    request_id: RequestIdDep,
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


async def _read_images_to_embed(request: UploadRequest, settings: SettingsDep, inference: InferenceDep) -> EmbedUpload:
    rules = {"image": _image_rule(settings), "encoding_format": PartRule(), "face": PartRule()}
    form = await read_form(request, rules)
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
    form = await read_form(request, {"image": _image_rule(settings)})
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


async def _read_embedding_pair(request: UploadRequest, inference: InferenceDep) -> EmbeddingPair:
    limit = max_json_bytes(inference.header.network.dimension)
    body = await read_body(request, limit, "application/json")
    return parse_embedding_pair(body, inference.header)


@router.post("/compare", openapi_extra=COMPARE_BODY)
async def compare(
    pair: Annotated[EmbeddingPair, Depends(_read_embedding_pair)],
    inference: InferenceDep,
    reservation: ReservationDep,
    request_id: RequestIdDep,
) -> Comparison:
    """The decision of /verify for two stored embeddings."""
    result = await inference.compare(pair.left, pair.right, reservation.deadline)
    return Comparison.of(
        result.value, pair.rule, inference.header, model=ModelName.of(inference.header), request_id=request_id
    )


def _image_rule(settings: Settings) -> PartRule:
    """The repeated part `image` of /embed and /detect."""
    return PartRule(
        max_bytes=settings.max_image_bytes, required=True, max_count=settings.max_images, repeatable=True, image=True
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
