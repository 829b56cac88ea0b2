"""How many pixels the images of a request have, judged before any of them is decoded."""

from collections.abc import Mapping

from app.api.admission import Reservation
from app.api.problems import Problem
from app.settings import Settings
from model.imaging.headers import LARGE_WORK_PX, count_pixels, count_work, has_too_few_bytes


def take_on_pixels(images: Mapping[str, bytes], settings: Settings, reservation: Reservation) -> None:
    """Judges images by their headers, before any of them is decoded, and takes the work of large ones from the budget.

    An image that has too many pixels by itself does not count, so that decoding refuses it by its name. Raises Problem.
    """
    counts = {field: count_pixels(image) for field, image in images.items()}
    for field, count in counts.items():
        if has_too_few_bytes(images[field], count):
            few = f"the image has {count:,} pixels in {len(images[field]):,} bytes, which no photograph has"
            raise Problem("too_many_pixels", f"{few}; send a smaller one, or a JPEG", field)
    pixels = sum(count for count in counts.values() if count <= settings.max_pixels)
    if pixels > settings.max_request_pixels:
        most = f"the images of a request may have {settings.max_request_pixels:,} pixels together"
        raise Problem("too_many_pixels", f"{most}; these have {pixels:,}")
    works = (count_work(image) for field, image in images.items() if counts[field] <= settings.max_pixels)
    reservation.begin_large(sum(work for work in works if work >= LARGE_WORK_PX))
