"""A folder with photographs that can be embedded, and with files that cannot."""

from pathlib import Path

import pytest

from tests.drawing import encode, encode_oriented, portrait
from tests.faces import head_at, scene, too_small


def pictures() -> dict[str, bytes]:
    """Files by their names in the folder, sorted."""
    tilted = scene(head_at(0, tilt_deg=20), head_at(3, 560, 90, 24))
    plain = encode(scene(head_at(0)))
    found = {
        "a/plain.png": plain,
        "a/tilted.jpg": encode(tilted, "JPEG"),
        "b/crowd.webp": encode(scene(head_at(2), head_at(3, 80, 100, 30)), "WEBP"),
        "b/deeper/turned.jpg": encode_oriented(tilted, 6, "JPEG"),
        "b/grey.png": encode(scene(head_at(5)).convert("L")),
        "bad/cut.png": plain[:1000],
        "bad/empty.jpg": b"",
        "bad/faceless.png": encode(portrait(1)),
        "bad/far.png": encode(too_small()),
        "bad/narrow.png": encode(portrait(1, size=(160, 16))),
        "bad/text.jpg": b"not an image",
    }
    return dict(sorted(found.items()))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder, with files beside that are no pictures."""
    folder = tmp_path_factory.mktemp("photographs")
    for name, data in {**pictures(), "notes.txt": b"", "a/._plain.png": b"", ".hidden/plain.png": b""}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder
