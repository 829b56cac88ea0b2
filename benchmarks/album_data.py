"""Large data folders for `benchmarks.album`: people whose pictures are links to a few drawn files."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from model.errors import DataError
from tests.drawing import encode, portrait
from tests.faces import head_at, scene
from training.data.source import DataSource

# Different files, less than a file system's limit of links to one: ext4 allows 65,000.
FILES = 64
# Large data sets of straightened faces are published at this size; photographs are like LFW's.
STRAIGHT_PX, PHOTO_PX = 112, 250
PEOPLE_LIST, NO_LIST, MADE = "people.txt", "none.txt", "made.json"


def make_people(folder: Path, files: Sequence[bytes], pictures: int, people: int) -> DataSource:
    """A data folder whose people have pictures in turn, each a link to one of the files.

    One that is there is used again. Raises DataError if it was made for other numbers, or only in part.
    """
    source = DataSource(
        folder=folder,
        cache=folder / "cache",
        images="people",
        train_pairs=NO_LIST,
        train_people=PEOPLE_LIST,
        test_pairs=NO_LIST,
    )
    made = json.dumps({"files": len(files), "pictures": pictures, "people": people})
    if not folder.exists():
        _link(folder, files, [pictures // people + (person < pictures % people) for person in range(people)])
        (folder / MADE).write_text(made)
    elif not (folder / MADE).is_file() or (folder / MADE).read_text() != made:
        raise DataError(f"{folder}: has other pictures; remove it, or choose another --folder")
    return source


def _link(folder: Path, files: Sequence[bytes], counts: Sequence[int]) -> None:
    originals = folder / "originals"
    originals.mkdir(parents=True)
    for number, data in enumerate(files):
        (originals / f"{number}.jpg").write_bytes(data)
    for person, count in enumerate(counts):
        place = folder / "people" / f"Person_{person:05d}"
        place.mkdir(parents=True)
        for number in range(count):
            os.link(originals / f"{(person + number) % len(files)}.jpg", place / f"{number:04d}.jpg")
    rows = [f"Person_{person:05d}\t{count}" for person, count in enumerate(counts)]
    (folder / PEOPLE_LIST).write_text("\n".join(rows) + "\n")


def add_picture(source: DataSource) -> None:
    """Gives the first person of a data folder one picture more."""
    path = source.folder / source.train_people
    first, _, rest = path.read_text().partition("\n")
    name, count = first.split("\t")
    os.link(source.folder / "originals" / "0.jpg", source.folder / "people" / name / f"{int(count):04d}.jpg")
    path.write_text(f"{name}\t{int(count) + 1}\n{rest}")


def straight_files() -> list[bytes]:
    return [encode(portrait(number, size=(STRAIGHT_PX, STRAIGHT_PX)), "JPEG", quality=90) for number in range(FILES)]


def scene_files() -> list[bytes]:
    return [
        encode(scene(head_at(number, 125, 118, 40), size=(PHOTO_PX, PHOTO_PX)), "JPEG", quality=90)
        for number in range(FILES)
    ]
