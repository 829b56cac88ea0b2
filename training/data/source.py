"""A data set's folder: its pictures, in a folder with one folder per person or in a .tgz of one, and its lists."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from model.errors import DataError
from model.imaging.preprocessing import PreprocessingConfig
from training.data import division, lists
from training.data.album import Album, Key, PairSet, key_of
from training.data.cropping import FaceOf
from training.data.datasets import HoldOut, PeopleData
from training.data.division import Division
from training.data.pictures import find_images, picture_files, picture_names
from training.data.preparation import open_album

# The folder of LFW's pictures. Without its lists people to test on could be trained on, so none are made up for it.
LFW = "lfw-deepfunneled"
List = Literal["train_people", "train_pairs", "test_people", "test_pairs"]
# The name of each list in LFW, and the one that `split` gives it.
NAMES: dict[List, tuple[str, str]] = {
    "train_people": ("peopleDevTrain.txt", division.TRAIN_PEOPLE),
    "train_pairs": ("pairsDevTrain.txt", division.TRAIN_PAIRS),
    "test_people": ("peopleDevTest.txt", division.TEST_PEOPLE),
    "test_pairs": ("pairsDevTest.txt", division.TEST_PAIRS),
}


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """A folder with pictures and lists, their names in it, and the folder for prepared pictures.

    Without lists the people are divided by their names (`training.data.division`).
    """

    folder: Path
    cache: Path
    images: str
    train_pairs: str
    train_people: str
    test_pairs: str
    test_people: str = NAMES["test_people"][0]
    face: FaceOf = "center"
    skip_broken: bool = False

    @property
    def pictures(self) -> Path:
        """The folder of people, or its archive. Raises DataError if there is neither."""
        if not self.folder.is_dir():
            raise DataError(f"{self.folder}: the folder does not exist; name the data with --data or FACEPAIR_LFW")
        return find_images(self.folder, self.images)

    @property
    def title(self) -> str:
        """The name of the folder of people, for a message."""
        return self.pictures.absolute().name.removesuffix(".tgz")

    def files(self, keys: Iterable[Key]) -> dict[Key, bytes]:
        """Raises DataError if one of them cannot be read."""
        wanted, found = set(keys), {}
        for path, data in picture_files(self.pictures):
            if (key := key_of(path)) in wanted:
                if isinstance(data, DataError):
                    raise data
                found[key] = data
        return found

    def file_names(self) -> dict[Key, str]:
        """The name of each picture's file, in the order of the keys."""
        return dict(sorted((key_of(path), path.name) for path in picture_names(self.pictures)))

    def first_pictures(self, people: Iterable[str]) -> list[Key]:
        """The first picture of each of these people, by its file name, unless it has none."""
        first: dict[str, Key] = {}
        for key in self.file_names():
            first.setdefault(key[0], key)
        return [first[name] for name in people if name in first]

    def album(self, config: PreprocessingConfig) -> Album:
        return open_album(self.pictures, self.cache, config, self.face, skip_broken=self.skip_broken)

    def find_list(self, which: List) -> Path | None:
        """A list by its given name, or by the one that `split` gives it; None if the people are divided without it."""
        name: str = getattr(self, which)
        usual, ours = NAMES[which]
        given, made = self.folder / name, self.folder / ours
        if given.is_file() or name != usual:
            return given
        if made.is_file():
            return made
        return given if self.images == LFW else None

    def people(self, which: Literal["train_people", "test_people"], album: Album | None = None) -> dict[str, int]:
        """The people of a list, or without it of this side, with their numbers of pictures.

        Broken files that were left out of the album are counted. Without an album all files are. Raises DataError.
        """
        if path := self.find_list(which):
            return lists.read_people(path)
        keys = self._keys(album)
        sides = self._divide({name for name, _ in keys})
        return division.count_pictures(sides.train if which == "train_people" else sides.test, keys)

    def people_data(self, album: Album, rule: HoldOut) -> PeopleData:
        """The training people, some held out by the rule. Raises DataError for an unusable list or too few people."""
        path = self.find_list("train_people") or self.pictures
        return PeopleData.of(album, path, self.people("train_people", album), rule)

    def pairs_of(self, which: Literal["train_pairs", "test_pairs"], album: Album) -> PairSet:
        """The pairs of a list, or without it pairs drawn of the people of this side. Raises DataError."""
        if path := self.find_list(which):
            return lists.resolve(path, lists.read_pairs(path), album)
        sides = self._divide({name for name, _ in album.keys})
        return division.draw_pairs(sides.train if which == "train_pairs" else sides.test, album)

    def describe_list(self, which: List) -> str:
        """What a list or the side that stands for it is called, for a message."""
        path, side = self.find_list(which), which.partition("_")[0]
        return path.name if path else f"{side} people of {self.title}"

    def _keys(self, album: Album | None) -> list[Key]:
        return [*album.keys, *album.broken] if album else list(self.file_names())

    def _divide(self, names: set[str]) -> Division:
        """Those of the lists that are there and all others, or without lists both sides by their names."""
        train = self._listed("train_people", "train_pairs")
        test = self._listed("test_people", "test_pairs")
        if train or test:
            return Division(train=frozenset(train or names - test), test=frozenset(test or names - train))
        return division.divide(names)

    def _listed(self, people: List, pairs: List) -> set[str]:
        """The people of those two lists that are there."""
        found: set[str] = set()
        if path := self.find_list(people):
            found |= lists.read_people(path).keys()
        if path := self.find_list(pairs):
            found |= {name for pair in lists.read_pairs(path) for name, _ in (pair.left, pair.right)}
        return found
