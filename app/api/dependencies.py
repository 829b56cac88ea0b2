"""What routes ask FastAPI for: the parts of the replica, a reservation, and the upload, read and checked.

All are coroutines: FastAPI would run plain functions on threads.
"""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request

from app.api.admission import Admission, Reservation
from app.api.connection import UploadRequest
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
from app.api.problems import Problem
from app.api.uploads import PartRule, read_body, read_form
from app.engine.inference import Inference
from app.lifecycle import Drain
from app.metrics import Metrics
from app.settings import Settings


async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _inference(request: Request) -> Inference:
    inference: Inference = request.app.state.inference
    return inference


async def _metrics(request: Request) -> Metrics:
    metrics: Metrics = request.app.state.metrics
    return metrics


async def _drain(request: Request) -> Drain:
    drain: Drain = request.app.state.drain
    return drain


async def _request_id(request: Request) -> str:
    """The client's, or the one that the middleware gave."""
    request_id: str = request.state.request_id
    return request_id


async def _reserve(request: Request) -> AsyncIterator[Reservation]:
    """Raises Problem if options stand in the address instead of the body."""
    if request.url.query:
        raise Problem("unexpected_query", "send options as parts or fields of the body")
    admission: Admission = request.app.state.admission
    with admission.reserve() as reservation:
        yield reservation


SettingsDep = Annotated[Settings, Depends(_settings)]
InferenceDep = Annotated[Inference, Depends(_inference)]
MetricsDep = Annotated[Metrics, Depends(_metrics)]
DrainDep = Annotated[Drain, Depends(_drain)]
RequestIdDep = Annotated[str, Depends(_request_id)]
# Released when the route's function has ended, before the answer is sent.
ReservationDep = Annotated[Reservation, Depends(_reserve, scope="function")]


async def _read_pair(
    request: UploadRequest, settings: SettingsDep, inference: InferenceDep, reservation: ReservationDep
) -> PairUpload:
    image = PartRule(max_bytes=settings.max_image_bytes, required=True, image=True)
    options = dict.fromkeys(("threshold", "max_fmr", "face"), PartRule())
    form = await read_form(request, {"image1": image, "image2": image, **options}, reservation)
    return PairUpload(
        images=form.images,
        max_faces=settings.max_faces,
        rule=parse_rule(form.fields, inference.header),
        choice=parse_choice(form.fields, inference.header, CHOICES),
    )


async def _read_images_to_embed(
    request: UploadRequest, settings: SettingsDep, inference: InferenceDep, reservation: ReservationDep
) -> EmbedUpload:
    rules = {"image": _image_rule(settings), "encoding_format": PartRule(), "face": PartRule()}
    form = await read_form(request, rules, reservation)
    return EmbedUpload(
        images=form.images,
        max_faces=settings.max_faces,
        encoding=parse_encoding(form.fields),
        choice=parse_choice(form.fields, inference.header, CHOICES_OF_EMBED),
    )


async def _read_images_to_search(
    request: UploadRequest, settings: SettingsDep, inference: InferenceDep, reservation: ReservationDep
) -> ImagesUpload:
    form = await read_form(request, {"image": _image_rule(settings)}, reservation)
    require_faces(inference.header)
    return ImagesUpload(images=form.images, max_faces=settings.max_faces, choice="any")


def _image_rule(settings: Settings) -> PartRule:
    """The repeated part `image` of /embed and /detect."""
    return PartRule(
        max_bytes=settings.max_image_bytes, required=True, max_count=settings.max_images, repeatable=True, image=True
    )


async def _read_embedding_pair(
    request: UploadRequest, inference: InferenceDep, reservation: ReservationDep
) -> EmbeddingPair:
    limit = max_json_bytes(inference.header.network.dimension)
    body = await read_body(request, limit, "application/json", reservation)
    return parse_embedding_pair(body, inference.header)


PairUploadDep = Annotated[PairUpload, Depends(_read_pair)]
EmbedUploadDep = Annotated[EmbedUpload, Depends(_read_images_to_embed)]
DetectUploadDep = Annotated[ImagesUpload, Depends(_read_images_to_search)]
EmbeddingPairDep = Annotated[EmbeddingPair, Depends(_read_embedding_pair)]
