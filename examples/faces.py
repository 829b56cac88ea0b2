"""Crop every face of a photograph into a file of its own. For HEIC, Pillow needs pillow-heif.

python examples/faces.py party.jpg --out faces --url http://127.0.0.1:8000
"""

import argparse
import sys
from pathlib import Path

import httpx
from PIL import Image, ImageOps


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
    [image] = answer["images"]
    options.out.mkdir(parents=True, exist_ok=True)
    # The service's coordinates are pixels of the upright picture. PNG has no CMYK.
    upright = ImageOps.exif_transpose(Image.open(options.photograph)).convert("RGB")
    for face in image["faces"]:
        box = face["box"]
        left, top = max(0, box["x"]), max(0, box["y"])  # a box may reach beyond the picture
        right, bottom = min(upright.width, box["x"] + box["width"]), min(upright.height, box["y"] + box["height"])
        path = options.out / f"face-{face['index']}.png"
        upright.crop((round(left), round(top), round(right), round(bottom))).save(path)
        print(f"{path}: {', '.join(face['warnings']) or 'no warnings'}")


if __name__ == "__main__":
    main()
