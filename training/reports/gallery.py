"""A gallery of right and wrong pairs with their scores, as one HTML file.

The file contains pictures of the data set: do not commit it to a repository.
"""

import base64
import html
import io
from pathlib import Path

import numpy as np
from PIL import Image

from model.arrays import Pixels
from model.errors import DataError
from model.files import replacing
from model.imaging.crops import sharpness
from training.data.album import Album
from training.runs import records, results

COUNT = 12
BRIGHTNESS_APART = 40.0
BLURRED = 60.0
ASYMMETRIC = 45.0

STYLE = """\
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem; color: #222; }
section { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; width: 220px; } img { width: 108px; height: 108px; }
figcaption { font-size: 12px; overflow-wrap: anywhere; }
"""


def write_gallery(path: Path, run: results.Run, album: Album) -> None:
    """Writes the page. Raises DataError if the album lacks a picture of the run, or if it cannot be written."""
    pictures = {name: number for number, name in enumerate(album.names)}
    threshold = run.header.threshold.value
    parts = [f"<h1>{html.escape(run.header.name)}</h1><p>Threshold {threshold:.4f}</p>"]
    for kind, pairs in run.hardest(COUNT):
        figures = "".join(_figure(pair, album, pictures, not kind.right) for pair in pairs)
        parts.append(f"<h2>{kind.title} ({len(pairs)})</h2><section>{figures}</section>")
    page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Gallery</title><style>{STYLE}</style>'
    try:
        with replacing(path) as partial:
            partial.write_text(page + "".join(parts) + "</html>\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error}") from error


def probable_causes(left: Pixels, right: Pixels) -> list[str]:
    """Possible reasons why two prepared pictures, uint8 (H, W), are hard to compare. These are guesses."""
    causes = []
    apart = abs(float(left.mean()) - float(right.mean()))
    if apart > BRIGHTNESS_APART:
        causes.append(f"lit differently ({apart:.0f} grey levels apart)")
    for side, pixels in (("left", left), ("right", right)):
        if sharpness(pixels) < BLURRED:
            causes.append(f"{side} picture blurred (sharpness {sharpness(pixels):.0f})")
        if asymmetry(pixels) > ASYMMETRIC:
            causes.append(f"{side} face turned or lit from a side (asymmetry {asymmetry(pixels):.0f})")
    return causes


def asymmetry(pixels: Pixels) -> float:
    """The mean difference between the middle half of a picture and its mirror image, in grey levels."""
    height, width = pixels.shape
    middle = pixels[height // 4 : -(height // 4), width // 4 : -(width // 4)].astype(np.float64)
    return float(np.abs(middle - middle[:, ::-1]).mean())


def _figure(pair: records.ScoredPair, album: Album, pictures: dict[str, int], wrong: bool) -> str:
    names = pair.left, pair.right
    missing = [name for name in names if name not in pictures]
    if missing:
        raise DataError(f"picture {missing[0]} is missing; name the data of the run with --data and --images")
    left, right = (album.pixels[pictures[name]].numpy() for name in names)
    causes = probable_causes(_grey(left), _grey(right)) or ["nothing measured stands out"]
    note = f"<br>{'; '.join(causes)}" if wrong else ""
    caption = f"{html.escape(names[0])} / {html.escape(names[1])}<br>{pair.similarity:.4f}{note}"
    return f"<figure>{_image(left)}{_image(right)}<figcaption>{caption}</figcaption></figure>"


def _grey(pixels: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(pixels).convert("L"))


def _image(pixels: Pixels) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">'
