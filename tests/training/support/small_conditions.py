"""A small run on drawn people with aligned faces, for tests of shared changes and conditions."""

from dataclasses import replace
from pathlib import Path

from tests.training.support.small_faces import draw_faces
from tests.training.support.small_pairs import CPU
from tests.training.support.small_people import SMALL_PEOPLE
from training.data.datasets import PeopleData
from training.data.lists import read_people
from training.data.source import DataSource
from training.learning.experiments import LFW_ALIGNMENT
from training.learning.loop import train
from training.runs.finish import finish

SMALL_FACES = replace(
    SMALL_PEOPLE,
    name="small-faces",
    epochs=1,
    preprocessing=SMALL_PEOPLE.preprocessing.model_copy(update={"alignment": LFW_ALIGNMENT, "crop": 0.6}),
)


def drawn_source(folder: Path) -> DataSource:
    """Draws the people into the folder."""
    draw_faces(folder)
    return DataSource(
        folder=folder,
        cache=folder / "cache",
        images="people",
        train_pairs="",
        train_people="people.txt",
        test_pairs="test.txt",
    )


def drawn_data(source: DataSource) -> PeopleData:
    """The drawn people, some of them held out by the small run's rule."""
    path = source.folder / source.train_people
    return PeopleData.of(source.album(SMALL_FACES.preprocessing), path, read_people(path), SMALL_FACES.held_out)


def trained_checkpoint(source: DataSource, data: PeopleData) -> Path:
    """The checkpoint of the small run, trained now."""
    run = source.folder / "run"
    finish(SMALL_FACES, train(SMALL_FACES, data, run, CPU), data, None, run, "code")
    return run / f"{SMALL_FACES.name}.safetensors"
