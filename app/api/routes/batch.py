"""/verify/batch."""

import time

from fastapi import APIRouter

from app.api.analyses import analyse_images
from app.api.bodies.images import read_images
from app.api.inputs import CHOICES, BatchUpload, pair_up, parse_choice, parse_rule
from app.api.openapi.bodies import BATCH_BODY
from app.api.openapi.errors import OF_BODIES, OF_FORMS, responses_of
from app.api.problems import Problem
from app.api.reports import conditions_of_pair, report_images, report_problems
from app.api.schemas.answers import BatchVerification, PairReport
from app.api.schemas.decisions import DecisionReport, ModelName
from app.api.schemas.images import Timing, milliseconds
from app.api.upload_route import UploadRequest, UploadRoute
from app.engine.batching import Timed
from app.engine.inference import Inference
from model.conditions import ComparedPair
from model.imaging.analysis import ImageAnalysis

router = APIRouter(tags=["images"], route_class=UploadRoute)


async def _read_pairs(request: UploadRequest) -> BatchUpload:
    form, refused = await read_images(request, ["image1", "image2"], ["threshold", "max_fmr", "face"])
    header = request.inference.header
    return BatchUpload(
        images=form.images,
        refused=refused,
        report=True,
        pairs=pair_up(list(form.images), form.counts["image1"]),
        max_faces=request.settings.max_faces,
        rule=parse_rule(form.fields, header),
        choice=parse_choice(form.fields, header, CHOICES),
    )


@router.post("/verify/batch", openapi_extra=BATCH_BODY, responses=responses_of(OF_BODIES, OF_FORMS, "uneven_pairs"))
async def verify_batch(request: UploadRequest) -> BatchVerification:
    """The decision of /verify for each of several pairs: the images in the same place of both sides, or a side's only
    image with each of the other. A pair with an image that cannot be used has its problem instead.
    """
    upload, inference, reservation = await _read_pairs(request), request.inference, request.reservation
    uploaded = time.perf_counter()
    outcomes = await analyse_images(upload, inference, reservation.deadline)
    analysed = time.perf_counter()
    analyses = {name: each for name, each in zip(upload.images, outcomes, strict=True) if not isinstance(each, Problem)}
    pairs = [pair for pair in upload.pairs if analyses.keys() >= {*pair}]
    result = await _verify_pairs(pairs, analyses, inference, reservation.deadline)
    decided = {
        (one, other): DecisionReport.of(
            compared, upload.rule, inference.header, conditions_of_pair([analyses[one]], [analyses[other]])
        )
        for (one, other), compared in zip(pairs, result.value, strict=True)
    }
    for each in decided.values():
        request.metrics.decisions.labels(each.decision).inc()
    problems = {each.field: each for each in report_problems(outcomes, request.request_id)}
    return BatchVerification(
        pairs=[
            PairReport(
                index=index,
                image1=one,
                image2=other,
                decided=decided.get((one, other)),
                problem=problems.get(one) or problems.get(other),
            )
            for index, (one, other) in enumerate(upload.pairs)
        ],
        images=report_images(upload.images, outcomes),
        model=ModelName.of(inference.header),
        timing_ms=Timing(
            decode=milliseconds(analysed - uploaded),
            face=milliseconds(max((analysis.face_s for analysis in analyses.values()), default=0.0)),
            queue=milliseconds(result.queue_s),
            inference=milliseconds(result.work_s),
            total=milliseconds(time.perf_counter() - reservation.started),
        ),
        request_id=request.request_id,
    )


async def _verify_pairs(
    pairs: list[tuple[str, str]], analyses: dict[str, ImageAnalysis], inference: Inference, deadline: float
) -> Timed[list[ComparedPair]]:
    """Each pair compared; an image of several pairs is embedded once."""
    places = {name: place for place, name in enumerate(dict.fromkeys(name for pair in pairs for name in pair))}
    crops = [analyses[name].pixels for name in places]
    return await inference.verify_pairs(crops, [(places[one], places[other]) for one, other in pairs], deadline)
