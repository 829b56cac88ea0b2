"""/info, which is never refused."""

from fastapi import APIRouter

from app.api.dependencies import InferenceDep, SettingsDep
from app.api.openapi.errors import responses_of
from app.api.schemas.decisions import ModelName
from app.api.schemas.info import CalibrationReport, Info, Limits
from model import __version__

router = APIRouter(tags=["service"], responses=responses_of("unauthorized"))


# The lower decorator registers both methods, the upper one describes the route in /openapi.json.
@router.get("/info")
@router.api_route("/info", methods=["GET", "HEAD"], include_in_schema=False, response_model=Info)
async def info(inference: InferenceDep, settings: SettingsDep) -> Info:
    """The model that is served, what it scores, and the limits of a request."""
    header = inference.header
    return Info(
        version=__version__,
        model=ModelName.of(header),
        checkpoint_sha256=header.checkpoint_sha256,
        device=str(inference.device),
        dimension=header.network.dimension,
        network=header.network,
        preprocessing=header.preprocessing,
        calibration=CalibrationReport.of(header),
        rates_hold_for=header.rates_hold_for,
        threshold=header.threshold,
        operating_points=header.operating_points,
        metrics=header.metrics,
        provenance=header.provenance,
        limits=Limits.model_validate(settings, from_attributes=True),
        sandbox=inference.decoders.sandbox,
    )
