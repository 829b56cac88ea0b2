"""Crop every face of a photograph into a file of its own. For HEIC, install pillow-heif.

python examples/faces.py party.jpg --out faces --url http://127.0.0.1:8000
"""

import argparse
import sys
from contextlib import suppress
from pathlib import Path

import httpx
from PIL import Image, ImageOps

with suppress(ImportError):
    import pillow_heif.HeifImagePlugin  # noqa: F401 (Pillow then reads HEIC)


def main() -> None:
    """Writes OUT/face-0.png, the largest face, OUT/face-1.png and so on."""
    parser = argparse.ArgumentParser()
    parser.add_argument("photograph", type=Path)
    parser.add_argument("--out", type=Path, default=Path("faces"))
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    options = parser.parse_args()
    answer = httpx.post(f"{options.url}/v1/detect", files={"image": options.photograph.read_bytes()}, timeout=35).json()
    if "code" in answer:
        sys.exit(f"{answer['code']} in {answer['field']}: {answer['detail']}")
    upright = ImageOps.exif_transpose(Image.open(options.photograph))  # as the service's coordinates are
    shown = upright.point(lambda level: level / 257) if upright.mode.startswith("I") else upright  # 16 bits
    options.out.mkdir(parents=True, exist_ok=True)
    for face in answer["images"][0]["faces"]:
        x, y, width, height = (face["box"][name] for name in ("x", "y", "width", "height"))
        path = options.out / f"face-{face['index']}.png"
        shown.convert("RGB").crop((round(x), round(y), round(x + width), round(y + height))).save(path)
        print(f"{path}: {', '.join(face['warnings']) or 'no warnings'}")


if __name__ == "__main__":
    main()
