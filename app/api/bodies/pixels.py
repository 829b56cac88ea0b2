"""How many pixels the images of a request have, judged before any of them is decoded."""

from collections.abc import Mapping

from app.api.admission import Reservation
from app.api.problems import Problem
from app.settings import Settings
from model.imaging.headers import LARGE_WORK_PX, has_too_few_bytes, read_header


def judge_pixels(images: Mapping[str, bytes], settings: Settings, reservation: Reservation) -> dict[str, Problem]:
    """The problems of images by their headers, under their names; takes the work of large ones from the budget.

    An image that has too many pixels by itself does not count, so that decoding refuses it by its name. Raises Problem
    if all together have too many, or the budget is used up.
    """
    refused, counted = {}, []
    for field, image in images.items():
        header = read_header(image)
        if has_too_few_bytes(image, header.pixels):
            few = f"the image has {header.pixels:,} pixels in {len(image):,} bytes, which no photograph has"
            refused[field] = Problem("too_many_pixels", f"{few}; send a smaller one, or a JPEG", field)
        elif header.pixels <= settings.max_pixels:
            counted.append(header)
    pixels = sum(header.pixels for header in counted)
    if pixels > settings.max_request_pixels:
        most = f"the images of a request may have {settings.max_request_pixels:,} pixels together"
        raise Problem("too_many_pixels", f"{most}; these have {pixels:,}")
    reservation.begin_large(sum(header.work for header in counted if header.work >= LARGE_WORK_PX))
    return refused
