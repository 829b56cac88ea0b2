"""Reads the images and fields of a route."""

from collections.abc import Sequence

from app.api.bodies.form import Form, FormLimits, PartRule
from app.api.bodies.pixels import judge_pixels
from app.api.bodies.reading import read_form
from app.api.problems import Problem
from app.api.upload_route import UploadRequest


async def read_images(
    request: UploadRequest, images: Sequence[str], fields: Sequence[str], *, numbered: bool = False
) -> tuple[Form, dict[str, Problem]]:
    """A form with these parts, each image at least once, within the limits of a request, and the problems of those of
    its images that are not to be decoded, under their names. Raises Problem.
    """
    settings = request.settings
    image = PartRule(max_bytes=settings.max_image_bytes, required=True, image=True, numbered=numbered)
    rules = {**dict.fromkeys(images, image), **dict.fromkeys(fields, PartRule())}
    limits = FormLimits(max_images=settings.max_images, max_bytes=settings.max_request_bytes)
    form = await read_form(request, rules, limits)
    read = {name: image for name, image in form.images.items() if name not in form.refused}
    return form, form.refused | judge_pixels(read, settings, request.reservation)
