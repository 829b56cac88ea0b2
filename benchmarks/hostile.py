"""Images as nobody should send them: cut, overwritten, of the wrong kind. They are harmless to other software.

The same number gives the same file.
"""

import os
import random
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from PIL import Image

from tests.drawing import encode, portrait

# A folder of further images to damage.
VARIABLE = "FACEPAIR_HOSTILE_IMAGES"
MOST_CHANGES = 8
# Headers are short but decide most, so half of the changes are near the start.
START_BYTES = 200
CUTS = (0, 1, 1, 1, 2, 4, 50, 10_000)
SIGNATURES = (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP")


def whole_files() -> list[bytes]:
    """One intact file of each kind, and those of the folder that the environment names."""
    picture = portrait(1, size=(160, 160))
    kinds: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (picture, "JPEG", {}),
        (picture, "JPEG", {"progressive": True}),
        (picture.convert("CMYK"), "JPEG", {}),
        (picture, "PNG", {}),
        (picture.quantize(8), "PNG", {"transparency": b"\x00\x80\xff"}),
        (picture.convert("L").convert("I;16"), "PNG", {}),
        (picture.convert("RGBA"), "WEBP", {}),
        (picture, "WEBP", {"lossless": True}),
        (picture, "GIF", {}),
        (picture, "TIFF", {}),
        (Image.new("L", (3000, 2000)), "PNG", {}),
        (Image.new("L", (3000, 2000)), "JPEG", {"progressive": True}),
    ]
    files = [encode(image, kind, **options) for image, kind, options in kinds]
    if folder := os.environ.get(VARIABLE):
        files += [path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()]
    return files


def hostile_files() -> Iterator[bytes]:
    """Every whole file, then damaged ones without an end."""
    files = whole_files()
    yield from files
    for number in count():
        yield damaged(files, number)


def damaged(files: list[bytes], number: int) -> bytes:
    """One of the files with up to eight cuts, insertions and overwritten parts, or random bytes after a signature."""
    draws = random.Random(number)
    if number % 16 == 0:
        return draws.choice(SIGNATURES) + draws.randbytes(draws.randrange(300))
    data = bytearray(draws.choice(files))
    for _ in range(draws.randint(1, MOST_CHANGES)):
        at = draws.randrange(START_BYTES) if draws.random() < 0.5 else draws.randrange(len(data) + 1)
        data[at : at + draws.choice(CUTS)] = draws.randbytes(draws.randrange(9))
    return bytes(data)
