"""The small experiment that learns from people: a few drawn people, a narrow network."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from PIL import Image

from model.imaging.preprocessing import PreprocessingConfig
from tests.drawing import encode, portrait
from training.data.album import Album
from training.data.datasets import HoldOut, PeopleData
from training.data.preparation import open_album
from training.learning.experiments import EXPERIMENT_5

SIDE_PX = 32
# The number of pictures of each drawn person.
PICTURES = (3, 2, 4, 3, 1, 1, 2, 5, 1, 3)

# With 4 channels a training step of torch 2.15.0 damages its own heap on processors that have AVX2 and no AVX-512.
SMALL_PEOPLE = replace(
    EXPERIMENT_5,
    name="small-people",
    network=EXPERIMENT_5.network.model_copy(
        update={"side_px": SIDE_PX, "views": (1.0, 0.75), "view_px": 24, "channels": (8, 8, 16, 16), "dimension": 16}
    ),
    preprocessing=PreprocessingConfig(side_px=SIDE_PX, colour="rgb", crop=0.8, standardised=True),
    held_out=HoldOut(fraction=0.4, most_pictures=4),
    people=4,
    pictures=2,
    singles=2,
    virtual=2,
    epochs=3,
    average=0.9,
    precision="bfloat16",
)


def draw_people(folder: Path, draw: Callable[[int, int], Image.Image] = portrait) -> Path:
    """A data folder: `people/NAME/NAME_0001.png` with picture 1 of each person, people.txt, a list of test pairs."""
    for person, count in enumerate(PICTURES):
        name = f"Person_{person}"
        (folder / "people" / name).mkdir(parents=True)
        for picture in range(1, count + 1):
            path = folder / "people" / name / f"{name}_{picture:04d}.png"
            path.write_bytes(encode(draw(person, picture)))
    rows = [f"Person_{person}\t{count}" for person, count in enumerate(PICTURES)]
    (folder / "people.txt").write_text("\n".join([str(len(rows)), *rows]) + "\n")
    pairs = ["Person_0\t1\t2", "Person_2\t1\t3", "Person_0\t1\tPerson_1\t1", "Person_2\t2\tPerson_3\t1"]
    (folder / "test.txt").write_text("\n".join(["2", *pairs]) + "\n")
    return folder


def album_of(folder: Path, cache: Path) -> Album:
    """The drawn people, prepared."""
    return open_album(folder / "people", cache, SMALL_PEOPLE.preprocessing)


def data_of(album: Album) -> PeopleData:
    """The drawn people, some of them held out."""
    counts = {f"Person_{person}": count for person, count in enumerate(PICTURES)}
    return PeopleData.of(album, Path("people.txt"), counts, SMALL_PEOPLE.held_out)
