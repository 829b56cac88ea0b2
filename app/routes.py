"""The routes. Each reads its input, hands the work to `Inference`, and says what came out."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from app.admission import Turn
from app.draining import Drain
from app.embeddings import encode_base64
from app.inference import Inference
from app.inputs import (
    CHOICES_OF_EMBED,
    Rule,
    choose_rule,
    name_images,
    parse_choice,
    parse_embedding,
    parse_encoding,
    parse_rule,
    read_compare_request,
    require_faces,
    require_few_faces,
    see_images,
)
from app.leaving import unless_left
from app.openapi import COMPARE_BODY, ENCODING, FACE, FACE_OF_EMBED, FILE, FILES, MAX_FMR, THRESHOLD, multipart
from app.problems import Problem, from_domain
from app.reports import report_image, views_of
from app.schemas import (
    Comparison,
    Detection,
    Embedding,
    EmbeddingList,
    Health,
    Info,
    Limits,
    ModelName,
    ProblemDetail,
    Timing,
    Verification,
)
from app.settings import Settings
from app.telemetry import Metrics
from app.uploads import PartRule, read_parts
from model import __version__
from model.device import LOST
from model.errors import ForeignEmbedding
from model.similarity import decide

logger = logging.getLogger("facepair")

READINESS_TIMEOUT_S = 5.0


# Dependencies are coroutines, since FastAPI calls others on threads: that takes longer, and admission has no lock.
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


async def _turn(request: Request) -> AsyncIterator[Turn]:
    with request.app.state.admission.turn() as turn:
        yield turn


async def _request_id(request: Request) -> str:
    request_id: str = request.state.request_id
    return request_id


async def _no_query(request: Request) -> None:
    if request.url.query:
        raise Problem("unexpected_query", "send options as parts or fields of the body")


WithSettings = Annotated[Settings, Depends(_settings)]
WithInference = Annotated[Inference, Depends(_inference)]
WithMetrics = Annotated[Metrics, Depends(_metrics)]
WithTurn = Annotated[Turn, Depends(_turn, scope="function")]  # its images are given back before the answer goes
WithDrain = Annotated[Drain, Depends(_drain)]
WithRequestId = Annotated[str, Depends(_request_id)]

PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "Every error has this shape.",
        "content": {"application/problem+json": {"schema": ProblemDetail.model_json_schema()}},
    }
}
router = APIRouter(responses=PROBLEMS)
work_router = APIRouter(responses=PROBLEMS, dependencies=[Depends(_no_query)])


@work_router.post(
    "/verify",
    openapi_extra=multipart(
        ["image1", "image2"], {"image1": FILE, "image2": FILE, "threshold": THRESHOLD, "max_fmr": MAX_FMR, "face": FACE}
    ),
)
async def verify(
    request: Request, settings: WithSettings, inference: WithInference, turn: WithTurn, request_id: WithRequestId
) -> Verification:
    """Whether two photographs show the same person."""
    started = time.perf_counter()
    image = PartRule(max_bytes=settings.max_image_bytes, required=True, image=True)
    options = dict.fromkeys(("threshold", "max_fmr", "face"), PartRule())
    parts = await read_parts(request, {"image1": image, "image2": image, **options}, turn)
    rule = parse_rule(parts, inference)
    choice = parse_choice(parts.get("face"), inference)
    decoding = time.perf_counter()
    images = {"image1": parts["image1"][0], "image2": parts["image2"][0]}
    left, right = await unless_left(request, see_images(inference, images, choice, turn.deadline))
    decoded = time.perf_counter()
    result = await unless_left(request, inference.verify(left.pixels, right.pixels, turn.deadline))
    return Verification(
        **_decide(result.value, rule, inference),
        images=[report_image("image1", left), report_image("image2", right)],
        model=_model(inference),
        timing_ms=Timing(
            decode=_ms(decoded - decoding),
            face=_ms(max(left.face_s, right.face_s)),
            queue=_ms(result.queue_s),
            inference=_ms(result.work_s),
            total=_ms(time.perf_counter() - started),
        ),
        request_id=request_id,
    )


@work_router.post(
    "/embed",
    openapi_extra=multipart(["image"], {"image": FILES, "encoding_format": ENCODING, "face": FACE_OF_EMBED}),
)
async def embed(
    request: Request, settings: WithSettings, inference: WithInference, turn: WithTurn, request_id: WithRequestId
) -> EmbeddingList:
    """The embeddings of one or more images, to be stored and compared later; of one face each, or of all."""
    image = PartRule(max_bytes=settings.max_image_bytes, required=True, most=settings.max_images, image=True)
    parts = await read_parts(request, {"image": image, "encoding_format": PartRule(), "face": PartRule()}, turn)
    encoding = parse_encoding(parts.get("encoding_format"))
    choice = parse_choice(parts.get("face"), inference, CHOICES_OF_EMBED)
    images = name_images(parts["image"])
    sightings = await unless_left(request, see_images(inference, images, choice, turn.deadline))
    views = [view for number, sighting in enumerate(sightings) for view in views_of(number, sighting)]
    require_few_faces(len(views), settings)
    pixels = [view.pixels for view in views]
    embeddings = (await unless_left(request, inference.embed(pixels, turn.deadline))).value
    return EmbeddingList(
        data=[
            Embedding(
                index=index,
                image=view.image,
                face=view.face,
                embedding=encode_base64(values) if encoding == "base64" else values.tolist(),
            )
            for index, (view, values) in enumerate(zip(views, embeddings, strict=True))
        ],
        images=[report_image(name, seen, choice) for name, seen in zip(images, sightings, strict=True)],
        model=_model(inference),
        dimension=inference.header.network.dimension,
        request_id=request_id,
    )


@work_router.post("/detect", openapi_extra=multipart(["image"], {"image": FILES}))
async def detect(
    request: Request, settings: WithSettings, inference: WithInference, turn: WithTurn, request_id: WithRequestId
) -> Detection:
    """Every face of one or more images, with what was measured of it; an image may have none."""
    image = PartRule(max_bytes=settings.max_image_bytes, required=True, most=settings.max_images, image=True)
    parts = await read_parts(request, {"image": image}, turn)
    require_faces(inference)
    images = name_images(parts["image"])
    sightings = await unless_left(request, see_images(inference, images, "any", turn.deadline))
    require_few_faces(sum(len(sighting.faces) for sighting in sightings), settings)
    reports = [report_image(name, sighting, "any") for name, sighting in zip(images, sightings, strict=True)]
    return Detection(images=reports, request_id=request_id)


@work_router.post("/compare", openapi_extra=COMPARE_BODY)
async def compare(request: Request, inference: WithInference, turn: WithTurn, request_id: WithRequestId) -> Comparison:
    """The decision of /verify for two stored embeddings."""
    body = await read_compare_request(request, inference, turn)
    if body.embedding_sha256 != inference.header.embedding_sha256:
        error = ForeignEmbedding("these embeddings are of another model than the one served; embed the images again")
        raise from_domain(error, "embedding_sha256")
    left = parse_embedding(body.embedding1, "embedding1", inference)
    right = parse_embedding(body.embedding2, "embedding2", inference)
    rule = choose_rule(body.threshold, body.max_fmr, inference)
    similarity = (await unless_left(request, inference.compare(left, right, turn.deadline))).value
    return Comparison(
        **_decide(similarity, rule, inference),
        model=_model(inference),
        request_id=request_id,
    )


@router.get("/info")
async def info(settings: WithSettings, inference: WithInference) -> Info:
    """The model that is served, what it scores, and the limits of a request."""
    header = inference.header
    return Info(
        version=__version__,
        model=_model(inference),
        checkpoint_sha256=header.checkpoint_sha256,
        device=str(inference.device),
        dimension=header.network.dimension,
        network=header.network,
        preprocessing=header.preprocessing,
        threshold=header.threshold,
        operating_points=header.operating_points,
        metrics=header.metrics,
        provenance=header.provenance,
        limits=Limits.model_validate(settings, from_attributes=True),
    )


# Of each pair of decorators the lower one answers; the upper one describes it, since OpenAPI has no operation of two
# methods.
@router.get("/health/live")
@router.api_route("/health/live", methods=["GET", "HEAD"], include_in_schema=False)
async def live(settings: WithSettings, inference: WithInference) -> Health:
    """Whether the process answers, and the network's thread is there and moves on."""
    _require_no_fault(settings, inference)
    return Health(status="live")


@router.get("/health/ready")
@router.api_route("/health/ready", methods=["GET", "HEAD"], include_in_schema=False)
async def ready(
    settings: WithSettings, inference: WithInference, drain: WithDrain, request_id: WithRequestId
) -> Health:
    """Whether the network answers and scores the canary pair as recorded, and the replica is not about to leave."""
    if drain.device_lost:
        raise Problem("not_ready", LOST)
    if drain.begun:
        raise Problem("not_ready", "the replica is leaving; ask another")
    _require_no_fault(settings, inference)
    try:
        await asyncio.wait_for(inference.check_canary(), READINESS_TIMEOUT_S)
    except Exception as error:  # whatever is wrong, be it with the GPU: ask again, or another replica
        logger.exception("not ready", extra={"fields": {"request_id": request_id}})
        raise Problem("not_ready", "the network does not reproduce its recorded score in time") from error
    return Health(status="ready")


@router.get("/metrics", response_class=Response)
async def metrics(found: WithMetrics) -> Response:
    """Prometheus metrics, of all workers together."""
    return Response(found.show(), media_type=CONTENT_TYPE_LATEST)


def _decide(similarity: float, rule: Rule, inference: Inference) -> dict[str, Any]:
    """What /verify and /compare both say of a similarity."""
    decision, curve = decide(similarity, rule.threshold), inference.header.false_match_curve
    return {
        "decision": decision,
        "verified": decision == "same",
        "similarity": similarity,
        "threshold": rule.threshold,
        "operating_point": rule.operating_point,
        "fmr_at_similarity": curve.rate_at(similarity) if curve else None,
    }


def _require_no_fault(settings: Settings, inference: Inference) -> None:
    if fault := inference.fault(settings.hung_s):
        raise Problem("not_ready", f"{fault}; if that lasts, restart the replica")


def _model(inference: Inference) -> ModelName:
    return ModelName(name=inference.header.name, embedding_sha256=inference.header.embedding_sha256)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)
