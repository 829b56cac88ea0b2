"""What routes ask FastAPI for: the parts of the replica, and the upload, read and checked.

All are coroutines: FastAPI would run plain functions on threads.
"""

from typing import Annotated

from fastapi import Depends, Request

from app.api.admission import Reservation
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
from app.api.upload_route import UploadRequest
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


async def _reservation(request: UploadRequest) -> Reservation:
    return request.reservation


SettingsDep = Annotated[Settings, Depends(_settings)]
InferenceDep = Annotated[Inference, Depends(_inference)]
MetricsDep = Annotated[Metrics, Depends(_metrics)]
DrainDep = Annotated[Drain, Depends(_drain)]
RequestIdDep = Annotated[str, Depends(_request_id)]
ReservationDep = Annotated[Reservation, Depends(_reservation)]


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


async def _read_images_to_embed(request: UploadRequest, settings: SettingsDep, inference: InferenceDep) -> EmbedUpload:
    rules = {"image": _image_rule(settings), "encoding_format": PartRule(), "face": PartRule()}
    form = await read_form(request, rules)
    return EmbedUpload(
        images=form.images,
        max_faces=settings.max_faces,
        encoding=parse_encoding(form.fields),
        choice=parse_choice(form.fields, inference.header, CHOICES_OF_EMBED),
    )


async def _read_images_to_search(
    request: UploadRequest, settings: SettingsDep, inference: InferenceDep
) -> ImagesUpload:
    form = await read_form(request, {"image": _image_rule(settings)})
    require_faces(inference.header)
    return ImagesUpload(images=form.images, max_faces=settings.max_faces, choice="any")


def _image_rule(settings: Settings) -> PartRule:
    """The repeated part `image` of /embed and /detect."""
    return PartRule(
        max_bytes=settings.max_image_bytes, required=True, max_count=settings.max_images, repeatable=True, image=True
    )


async def _read_embedding_pair(request: UploadRequest, inference: InferenceDep) -> EmbeddingPair:
    limit = max_json_bytes(inference.header.network.dimension)
    body = await read_body(request, limit, "application/json")
    return parse_embedding_pair(body, inference.header)


PairUploadDep = Annotated[PairUpload, Depends(_read_pair)]
EmbedUploadDep = Annotated[EmbedUpload, Depends(_read_images_to_embed)]
DetectUploadDep = Annotated[ImagesUpload, Depends(_read_images_to_search)]
EmbeddingPairDep = Annotated[EmbeddingPair, Depends(_read_embedding_pair)]
