"""How many pixels the images of a request have, judged before any of them is decoded."""

from collections.abc import Mapping

from app.api.admission import Reservation
from app.api.problems import Problem
from app.settings import Settings
from model.imaging.headers import LARGE_WORK_PX, count_pixels, count_work, has_too_few_bytes


def judge_pixels(images: Mapping[str, bytes], settings: Settings, reservation: Reservation) -> dict[str, Problem]:
    """The problems of images by their headers, under their names; takes the work of large ones from the budget.

    An image that has too many pixels by itself does not count, so that decoding refuses it by its name. Raises Problem
    if all together have too many, or the budget is used up.
    """
    counts = {field: count_pixels(image) for field, image in images.items()}
    refused = {}
    for field, count in counts.items():
        if has_too_few_bytes(images[field], count):
            few = f"the image has {count:,} pixels in {len(images[field]):,} bytes, which no photograph has"
            refused[field] = Problem("too_many_pixels", f"{few}; send a smaller one, or a JPEG", field)
    counted = {field: count for field, count in counts.items() if count <= settings.max_pixels and field not in refused}
    pixels = sum(counted.values())
    if pixels > settings.max_request_pixels:
        most = f"the images of a request may have {settings.max_request_pixels:,} pixels together"
        raise Problem("too_many_pixels", f"{most}; these have {pixels:,}")
    works = (count_work(images[field]) for field in counted)
    reservation.begin_large(sum(work for work in works if work >= LARGE_WORK_PX))
    return refused
