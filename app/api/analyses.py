"""The images of a request, analysed at the same time."""

import asyncio

from app.api.inputs import ImagesUpload
from app.api.problems import Problem, from_domain
from app.engine.inference import Inference
from model.errors import ImageError
from model.imaging.analysis import FaceAllowance, ImageAnalysis, TooManyTogether

# Of each image its analysis, or the problem that it has.
Outcomes = list[ImageAnalysis | Problem]


async def analyse_images(upload: ImagesUpload, inference: Inference, deadline: float) -> Outcomes:
    """Each image, or its problem if the upload asks for a report.

    Raises DeadlinePassed, and Problem: that of the first image without a report, or one that is no single image's.
    """
    if upload.refused and not upload.report:
        raise next(upload.refused[field] for field in upload.images if field in upload.refused)
    faces = FaceAllowance(upload.max_faces)

    async def analyse(field: str, image: bytes) -> ImageAnalysis | Problem:
        if field in upload.refused:
            return upload.refused[field]
        try:
            return await inference.analyse(image, upload.choice, faces, deadline)
        except TooManyTogether:  # which is no single image's
            raise
        except ImageError as error:
            return from_domain(error, field)

    results = await asyncio.gather(*(analyse(*item) for item in upload.images.items()), return_exceptions=True)
    outcomes: Outcomes = []
    for result in results:
        if isinstance(result, BaseException) and not (isinstance(result, Problem) and upload.report):
            try:
                raise _too_many(result, upload) if type(result) is TooManyTogether else result
            finally:
                del result, results, outcomes  # else the exception and this frame would hold each other, and the images
        outcomes.append(result)
    return outcomes


def usable(outcomes: Outcomes) -> list[ImageAnalysis]:
    """The analyses without the problems."""
    return [outcome for outcome in outcomes if not isinstance(outcome, Problem)]


def _too_many(error: TooManyTogether, upload: ImagesUpload) -> Problem:
    """Names the part that all images came in, if there is one."""
    parts = {field.partition("[")[0] for field in upload.images}
    return Problem("too_many_faces", str(error), parts.pop() if len(parts) == 1 else None)
