"""`python -m benchmarks.memory`: the memory that a service takes when many large images come at once."""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from app.engine.cpu_budget import decoders_of, large_images_of
from app.settings import Settings, read_settings
from benchmarks.command import add_weights, new_parser, run_benchmark
from benchmarks.processes import family, own_bytes, resident_bytes
from benchmarks.record import Figures, Row
from benchmarks.service import HOST, serving
from model.imaging.formats.orientation import ORIENTATION_TAG
from tests.drawing import encode
from tests.faces import head_at, scene
from training.commands.options import positive

MIB = 2**20
SIZE = (6000, 4167)
DEADLINE_S = 900
# So that the queue alone bounds the images in progress.
LARGE_PIXELS = 10**12
# A plain JPEG, which is decoded at a reduced size, and the forms that are decoded at full size.
FORMS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "JPEG": ("RGB", "JPEG", {"quality": 90}),
    "progressive JPEG": ("RGB", "JPEG", {"quality": 90, "progressive": True, "subsampling": 0}),
    "PNG": ("RGB", "PNG", {"compress_level": 1}),
    "PNG with transparency": ("RGBA", "PNG", {"compress_level": 1}),
    "WebP with transparency": ("RGBA", "WEBP", {"quality": 50, "method": 0}),
    "HEIC with transparency": ("RGBA", "HEIF", {"quality": 50, "enc_params": {"preset": "ultrafast"}}),
    "AVIF with transparency": ("RGBA", "AVIF", {"quality": 50, "speed": 10, "subsampling": "4:4:4"}),
}

# The most that decoding takes for a pixel of the file, in Pillow and its libraries, for any format.
BYTES_PER_PIXEL = 18
# The buffer of a body grows by an eighth at a time.
BYTES_PER_BYTE = 9 / 8
# The most that an image takes that is not large: the coefficients of a JPEG of 26 megapixels, four colours, two scans.
BYTES_OF_SMALL = 256 * MIB
# The working memory of threads, detector and network, and what the allocator keeps.
BESIDE_BYTES = 256 * MIB
# What was read of a request and not looked at yet: 64 KiB and a read of the event loop, 256 KiB.
BYTES_PER_CONNECTION = 0.4 * MIB


def most_growth_bytes(settings: Settings) -> float:
    """How much a service may grow above its memory when it becomes ready, as docs/operations.md states it."""
    decoders = decoders_of(settings)
    large = large_images_of(decoders)
    copies = 2 * decoders  # in a decoder, and on the way to it
    held = max(settings.held_bytes, settings.max_request_bytes)
    # One more image, because an image is held twice while its part of the body is put together.
    uploads = (held + (copies + 1) * settings.max_image_bytes) * BYTES_PER_BYTE
    connections = settings.connections * BYTES_PER_CONNECTION
    decoded = large * settings.max_pixels * BYTES_PER_PIXEL + (decoders - large) * BYTES_OF_SMALL
    return uploads + decoded + BESIDE_BYTES + connections


def resident_now(pid: int) -> dict[int, int]:
    """The resident bytes of each process of a service."""
    return {each: resident_bytes(each, "VmRSS") for each in family(pid)}


def growth_bytes(before: Mapping[int, int]) -> int:
    """How much the processes have grown, each at its highest: an upper bound of their growth at any one time."""
    return sum(resident_bytes(pid) - resident for pid, resident in before.items())


def drawn_file(form: str, size: tuple[int, int], orientation: int = 1) -> bytes:
    """An image with one face, in one of FORMS and with that EXIF orientation."""
    mode, kind, options = FORMS[form]
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    small = scene(head_at(0), size=(600, 417))
    return encode(small.convert(mode).resize(size, Image.Resampling.BILINEAR), kind, exif=exif.tobytes(), **options)


async def send_at_once(url: str, data: bytes, count: int) -> Counter[int]:
    """Sends `count` requests to /embed with the image; returns how often each status came back."""
    limits = httpx.Limits(max_connections=count)
    async with httpx.AsyncClient(base_url=url, timeout=DEADLINE_S, limits=limits, trust_env=False) as client:
        posts = (client.post("/embed", files={"image": ("photograph", data)}) for _ in range(count))
        return Counter(answer.status_code for answer in await asyncio.gather(*posts))


def measure_form(weights: Path, form: str, count: int, size: tuple[int, int]) -> Row:
    """The row for one form: a new service under one load."""
    data = drawn_file(form, size)
    with serving(weights, "cpu", "--deadline-s", str(DEADLINE_S), "--large-pixels", str(LARGE_PIXELS)) as service:
        before = resident_now(service.pid)
        ready = before[service.pid] + sum(own_bytes(each) for each in before if each != service.pid)
        statuses = asyncio.run(send_at_once(f"http://{HOST}:{service.port}", data, count))
        growth = growth_bytes(before)
    return {
        "form": form,
        "file_mb": len(data) / 1e6,
        "answered_200": statuses[200],
        "refused_429": statuses[429],
        "others": statuses.total() - statuses[200] - statuses[429],
        "ready_mib": ready / MIB,
        "growth_mib": growth / MIB,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    parser = new_parser(
        "memory", "benchmarks.memory", "Measures the service's memory under large uploads.", None, cpu_alone=True
    )
    add_weights(parser)
    parser.add_argument("--uploads", type=positive, default=64, help="how many come at once")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS), metavar="FORM", help="file formats")
    parser.add_argument("--size", type=positive, nargs=2, default=SIZE, metavar=("WIDTH", "HEIGHT"), help="in pixels")
    return run_benchmark(parser, arguments, _measure)


def _measure(options: argparse.Namespace) -> Figures:
    settings, size = read_settings({}, environment={}), (options.size[0], options.size[1])
    return Figures(
        summary={"uploads": options.uploads, "megapixels": size[0] * size[1] / 1e6,
                 "most_growth_mib": most_growth_bytes(settings) / MIB},
        table=[measure_form(options.weights, form, options.uploads, size) for form in options.forms],
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
