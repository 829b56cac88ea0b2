"""The routes that say how the replica is and what it serves; they are never refused."""

import asyncio
import logging

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from app.api.dependencies import drain_of, inference_of, metrics_of, request_id_of, settings_of
from app.api.openapi import PROBLEMS
from app.api.problems import Problem
from app.api.reports import name_model
from app.api.schemas import Health, Info, Limits
from model import __version__
from model.device import MSG_DEVICE_LOST

logger = logging.getLogger("facepair")

READINESS_TIMEOUT_S = 5.0

router = APIRouter(responses=PROBLEMS)


# Of each pair of decorators the lower one answers; the upper one describes it, since OpenAPI has no operation of two
# methods.
@router.get("/info")
@router.api_route("/info", methods=["GET", "HEAD"], include_in_schema=False, response_model=Info)
async def info(request: Request) -> Info:
    """The model that is served, what it scores, and the limits of a request."""
    inference = inference_of(request)
    header = inference.header
    return Info(
        version=__version__,
        model=name_model(header),
        checkpoint_sha256=header.checkpoint_sha256,
        device=str(inference.device),
        dimension=header.network.dimension,
        network=header.network,
        preprocessing=header.preprocessing,
        threshold=header.threshold,
        operating_points=header.operating_points,
        metrics=header.metrics,
        provenance=header.provenance,
        limits=Limits.model_validate(settings_of(request), from_attributes=True),
    )


@router.get("/health/live")
@router.api_route("/health/live", methods=["GET", "HEAD"], include_in_schema=False)
async def live(request: Request) -> Health:
    """Whether the process answers, has decoders, and the network's threads are there and move on."""
    _require_no_fault(request)
    return Health(status="live")


@router.get("/health/ready")
@router.api_route("/health/ready", methods=["GET", "HEAD"], include_in_schema=False)
async def ready(request: Request) -> Health:
    """Whether the network answers and scores the canary pair as recorded, and the replica is not about to leave."""
    drain = drain_of(request)
    if drain.device_lost:
        raise Problem("not_ready", MSG_DEVICE_LOST)
    if drain.begun:
        raise Problem("not_ready", "the replica is leaving; ask another")
    _require_no_fault(request)
    try:
        await asyncio.wait_for(inference_of(request).check_canary(), READINESS_TIMEOUT_S)
    except Exception as error:  # whatever is wrong, be it with the GPU: ask again, or another replica
        logger.exception("not ready", extra={"fields": {"request_id": request_id_of(request)}})
        raise Problem("not_ready", "the network does not reproduce its recorded score in time") from error
    return Health(status="ready")


@router.get("/metrics", response_class=PlainTextResponse)
@router.api_route("/metrics", methods=["GET", "HEAD"], include_in_schema=False, response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Prometheus metrics."""
    return Response(metrics_of(request).show(), media_type=CONTENT_TYPE_LATEST)


def _require_no_fault(request: Request) -> None:
    if fault := inference_of(request).fault(settings_of(request).hung_s):
        raise Problem("not_ready", f"{fault}; if that lasts, restart the replica")
