"""/compare."""

from fastapi import APIRouter

from app.api.bodies.reading import read_json
from app.api.embedding_inputs import EmbeddingPair, max_json_bytes, parse_embedding_pair
from app.api.openapi.bodies import COMPARE_BODY
from app.api.openapi.errors import OF_BODIES, OF_EMBEDDINGS, responses_of
from app.api.schemas.answers import Comparison
from app.api.schemas.decisions import ModelName
from app.api.upload_route import UploadRequest, UploadRoute

MSG_CLEAN = "the rates hold for clean photographs only; send the conditions that /embed gave with the embeddings"

router = APIRouter(tags=["embeddings"], route_class=UploadRoute)


async def _read_embedding_pair(request: UploadRequest) -> EmbeddingPair:
    header, most = request.inference.header, max(2, request.settings.max_images)
    body = await read_json(request, max_json_bytes(header.network.dimension, most))
    return parse_embedding_pair(body, header, most)


@router.post("/compare", openapi_extra=COMPARE_BODY, responses=responses_of(OF_BODIES, OF_EMBEDDINGS, "duplicate_part"))
async def compare(request: UploadRequest) -> Comparison:
    """The decision of /verify for stored embeddings, one or several of each side."""
    pair, inference = await _read_embedding_pair(request), request.inference
    result = await inference.compare(pair.left, pair.right, request.reservation.deadline)
    unknown = pair.shared is None and inference.header.condition_rates
    report = Comparison.of(
        result.value,
        pair.rule,
        inference.header,
        pair.shared,
        warnings=[MSG_CLEAN] if unknown else [],
        model=ModelName.of(inference.header),
        request_id=request.request_id,
    )
    request.metrics.decisions.labels(report.decision).inc()
    return report
