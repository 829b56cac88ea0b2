"""The routes that report the health of the replica; they are never refused."""

import asyncio
import logging

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from app.api.dependencies import DrainDep, InferenceDep, MetricsDep, RequestIdDep, SettingsDep
from app.api.openapi.errors import responses_of
from app.api.problems import Problem
from app.api.schemas.info import Health
from app.engine.inference import Inference
from app.settings import Settings
from model.errors import MSG_DEVICE_LOST

logger = logging.getLogger("facepair")

READINESS_TIMEOUT_S = 5.0

router = APIRouter(tags=["service"])
metrics_router = APIRouter(tags=["service"])


# The lower decorator of each pair registers both methods, the upper one describes the route in /openapi.json, where an
# operation has one method.
@router.get("/health/live", responses=responses_of("not_ready"))
@router.api_route("/health/live", methods=["GET", "HEAD"], include_in_schema=False)
async def live(inference: InferenceDep, settings: SettingsDep) -> Health:
    """Whether the process answers, has decoders, and the network's threads are there and move on."""
    _require_health(inference, settings)
    return Health(status="live")


@router.get("/health/ready", responses=responses_of("not_ready"))
@router.api_route("/health/ready", methods=["GET", "HEAD"], include_in_schema=False)
async def ready(inference: InferenceDep, settings: SettingsDep, drain: DrainDep, request_id: RequestIdDep) -> Health:
    """Whether the network answers and scores the canary pair as recorded, and the replica is not about to leave."""
    if drain.device_lost:
        raise Problem("not_ready", MSG_DEVICE_LOST)
    if drain.begun:
        raise Problem("not_ready", "the replica is leaving; ask another")
    _require_health(inference, settings)
    try:
        await asyncio.wait_for(inference.check_canary(), READINESS_TIMEOUT_S)
    except Exception as error:  # any cause: the client can ask again, or another replica
        logger.exception("not ready", extra={"fields": {"request_id": request_id}})
        raise Problem("not_ready", "the network does not reproduce its recorded score in time") from error
    return Health(status="ready")


@metrics_router.get("/metrics", response_class=PlainTextResponse, responses=responses_of("unauthorized"))
@metrics_router.api_route(
    "/metrics", methods=["GET", "HEAD"], include_in_schema=False, response_class=PlainTextResponse
)
async def metrics(metrics: MetricsDep) -> Response:
    """Prometheus metrics."""
    return Response(metrics.show(), media_type=CONTENT_TYPE_LATEST)


def _require_health(inference: Inference, settings: Settings) -> None:
    if problem := inference.health_problem(settings.hung_s):
        raise Problem("not_ready", f"{problem}; if that lasts, restart the replica")
