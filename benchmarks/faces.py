"""`python -m benchmarks.faces`: the processor time of finding and aligning a face, of decoding and of the network."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median

import torch

from benchmarks.bare import load_bare
from benchmarks.command import add_weights, new_parser, run_benchmark
from benchmarks.record import Figures, Row
from benchmarks.timing import Work, interleave
from model.imaging.crops import align, find_faces
from model.imaging.decoding import decode
from model.imaging.detection import FaceFinder
from tests.drawing import encode
from tests.faces import Placed, scene
from training.learning.experiments import EXPERIMENT_5, LFW_ALIGNMENT

SIZES = {"1 megapixel": (1200, 900), "12 megapixels": (4000, 3000)}
OTHER_FACES = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    parser = new_parser(
        "faces", "benchmarks.faces", "Times decoding, face finding and straightening.", rounds=30, cpu_alone=True
    )
    add_weights(parser)
    return run_benchmark(parser, arguments, _measure)


def photograph(size: tuple[int, int]) -> bytes:
    """A JPEG of that size with a drawn face a third as high, tilted by 10 degrees, and two smaller faces."""
    width, height = size
    heads = [Placed(person=1, at=(0.4 * width, 0.5 * height), inter_eye_px=0.15 * height, tilt_deg=10)]
    heads += [
        Placed(person=2 + number, at=((0.75 + 0.15 * number) * width, 0.3 * height), inter_eye_px=0.05 * height)
        for number in range(OTHER_FACES)
    ]
    return encode(scene(*heads, size=size), "JPEG", quality=90)


def face_works(data: bytes, finder: FaceFinder) -> dict[str, Work]:
    """The steps for one photo; each gets the result of the one before."""
    config, alignment = EXPERIMENT_5.preprocessing, LFW_ALIGNMENT.model_copy(update={"refinement": "smooth"})
    smooth = config.model_copy(update={"alignment": alignment})
    decoded = decode(data, config)
    faces = find_faces(decoded, finder)
    return {
        "decode": Work(run=lambda: decode(data, config)),
        "find": Work(run=lambda: find_faces(decoded, finder)),
        "align": Work(run=lambda: align(decoded, faces[0], config, finder)),
        "align smoothly": Work(run=lambda: align(decoded, faces[0], smooth, finder)),
    }


def face_figures(embed: Callable[[], object], rounds: int, sizes: dict[str, tuple[int, int]]) -> Figures:
    """The table has a row for each size of photo. All steps take turns with the network, which embeds one crop."""
    finder, cpu = FaceFinder(), torch.device("cpu")
    works = {"network": Work(run=embed)}
    for name, size in sizes.items():
        works |= {f"{step} {name}": work for step, work in face_works(photograph(size), finder).items()}
    seconds = interleave(works, rounds, cpu, time.process_time)
    return Figures(
        summary={"detector_sha256": finder.sha256, "threads_of_each_step": 1, "rounds": rounds},
        table=[_row(name, seconds) for name in sizes],
    )


def _row(name: str, seconds: dict[str, list[float]]) -> Row:
    row: Row = {"photograph": name}
    for step in ("decode", "find", "align", "align smoothly"):
        row[f"{step.replace(' ', '_')}_ms"] = 1000 * median(seconds[f"{step} {name}"])
    for kind, step in (("settled", "align"), ("smooth", "align smoothly")):
        faces = [a + b for a, b in zip(seconds[f"find {name}"], seconds[f"{step} {name}"], strict=True)]
        row |= {f"{kind}_faces_ms": 1000 * median(faces), f"{kind}_faces_ms_low": 1000 * min(faces)}
    return {**row, "network_ms": 1000 * median(seconds["network"])}


def _measure(options: argparse.Namespace) -> Figures:
    bare = load_bare(options.weights, "cpu", threads=1)
    return face_figures(bare.embedding(1), options.rounds, SIZES)


if __name__ == "__main__":
    sys.exit(main())
