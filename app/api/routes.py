"""The routes that work on images. Each reads its input, hands the work to `Inference`, and says what came out."""

import time
from typing import Any

from fastapi import APIRouter, Request

from app.api.dependencies import cancel_on_disconnect, inference_of, request_id_of, settings_of, turn_of
from app.api.inputs import (
    CHOICES_OF_EMBED,
    Rule,
    analyse_images,
    choose_rule,
    decode_embedding,
    encode_base64,
    name_images,
    parse_choice,
    parse_encoding,
    parse_rule,
    read_compare_request,
    require_faces,
)
from app.api.openapi import (
    COMPARE_BODY,
    ENCODING,
    FACE,
    FACE_OF_EMBED,
    FILE,
    FILES,
    MAX_FMR,
    PROBLEMS,
    THRESHOLD,
    multipart,
)
from app.api.problems import Problem
from app.api.reports import name_model, report_image, views_of
from app.api.schemas import (
    Comparison,
    Detection,
    Embedding,
    EmbeddingList,
    Timing,
    Verification,
)
from app.api.uploads import PartRule, read_parts
from app.engine.inference import Inference
from app.settings import Settings
from model.similarity import decide

router = APIRouter(responses=PROBLEMS)

FOREIGN = "these embeddings are of another model than the one served; embed the images again"


@router.post(
    "/verify",
    openapi_extra=multipart(
        ["image1", "image2"], {"image1": FILE, "image2": FILE, "threshold": THRESHOLD, "max_fmr": MAX_FMR, "face": FACE}
    ),
)
async def verify(request: Request) -> Verification:
    """Whether two photographs show the same person."""
    started = time.perf_counter()
    settings, inference = settings_of(request), inference_of(request)
    with turn_of(request) as turn:
        image = PartRule(max_bytes=settings.max_image_bytes, required=True, image=True)
        options = dict.fromkeys(("threshold", "max_fmr", "face"), PartRule())
        parts = await read_parts(request, {"image1": image, "image2": image, **options}, turn)
        rule = parse_rule(parts, inference)
        choice = parse_choice(parts, inference)
        decoding = time.perf_counter()
        images = {"image1": parts["image1"][0], "image2": parts["image2"][0]}
        left, right = await cancel_on_disconnect(
            request, analyse_images(inference, images, choice, settings, turn.deadline)
        )
        decoded = time.perf_counter()
        result = await cancel_on_disconnect(request, inference.verify(left.pixels, right.pixels, turn.deadline))
        return Verification(
            **_decide(result.value, rule, inference),
            images=[report_image("image1", left), report_image("image2", right)],
            model=name_model(inference.header),
            timing_ms=Timing(
                decode=_ms(decoded - decoding),
                face=_ms(max(left.face_s, right.face_s)),
                queue=_ms(result.queue_s),
                inference=_ms(result.work_s),
                total=_ms(time.perf_counter() - started),
            ),
            request_id=request_id_of(request),
        )


@router.post(
    "/embed",
    openapi_extra=multipart(["image"], {"image": FILES, "encoding_format": ENCODING, "face": FACE_OF_EMBED}),
)
async def embed(request: Request) -> EmbeddingList:
    """The embeddings of one or more images, to be stored and compared later; of one face each, or of all."""
    settings, inference = settings_of(request), inference_of(request)
    with turn_of(request) as turn:
        image = _images_rule(settings)
        parts = await read_parts(request, {"image": image, "encoding_format": PartRule(), "face": PartRule()}, turn)
        encoding = parse_encoding(parts)
        choice = parse_choice(parts, inference, CHOICES_OF_EMBED)
        images = name_images(parts["image"])
        analyses = await cancel_on_disconnect(
            request, analyse_images(inference, images, choice, settings, turn.deadline)
        )
        views = [view for number, analysis in enumerate(analyses) for view in views_of(number, analysis)]
        pixels = [view.pixels for view in views]
        embeddings = (await cancel_on_disconnect(request, inference.embed(pixels, turn.deadline))).value
        return EmbeddingList(
            object="list",
            data=[
                Embedding(
                    object="embedding",
                    index=index,
                    image=view.image,
                    face=view.face,
                    embedding=encode_base64(values) if encoding == "base64" else values.tolist(),
                )
                for index, (view, values) in enumerate(zip(views, embeddings, strict=True))
            ],
            images=[report_image(name, seen) for name, seen in zip(images, analyses, strict=True)],
            model=name_model(inference.header),
            dimension=inference.header.network.dimension,
            request_id=request_id_of(request),
        )


@router.post("/detect", openapi_extra=multipart(["image"], {"image": FILES}))
async def detect(request: Request) -> Detection:
    """Every face of one or more images, with what was measured of it; an image may have none."""
    settings, inference = settings_of(request), inference_of(request)
    with turn_of(request) as turn:
        image = _images_rule(settings)
        parts = await read_parts(request, {"image": image}, turn)
        require_faces(inference)
        images = name_images(parts["image"])
        analyses = await cancel_on_disconnect(
            request, analyse_images(inference, images, "any", settings, turn.deadline)
        )
        reports = [report_image(name, analysis) for name, analysis in zip(images, analyses, strict=True)]
        return Detection(images=reports, request_id=request_id_of(request))


@router.post("/compare", openapi_extra=COMPARE_BODY)
async def compare(request: Request) -> Comparison:
    """The decision of /verify for two stored embeddings."""
    inference = inference_of(request)
    with turn_of(request) as turn:
        body = await read_compare_request(request, inference, turn)
        if body.embedding_sha256 != inference.header.embedding_sha256:
            raise Problem("foreign_embedding", FOREIGN, "embedding_sha256")
        network = inference.header.network
        left = decode_embedding(body.embedding1, network, "embedding1")
        right = decode_embedding(body.embedding2, network, "embedding2")
        rule = choose_rule(body.threshold, body.max_fmr, inference)
        similarity = (await cancel_on_disconnect(request, inference.compare(left, right, turn.deadline))).value
        return Comparison(
            **_decide(similarity, rule, inference),
            model=name_model(inference.header),
            request_id=request_id_of(request),
        )


def _images_rule(settings: Settings) -> PartRule:
    """The repeated part `image` of /embed and /detect."""
    return PartRule(
        max_bytes=settings.max_image_bytes, required=True, max_count=settings.max_images, repeatable=True, image=True
    )


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


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)
