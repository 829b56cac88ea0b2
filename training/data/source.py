"""Where the pictures and lists of a data set are, and how a run or a measurement reads them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from model.errors import DataError
from model.imaging.preprocessing import PreprocessingConfig
from training.data.album import Album, Key, PairSet, key_of
from training.data.album_cache import FaceOf, open_album
from training.data.archive import find_images, picture_files
from training.data.lists import read_pairs, resolve


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """A folder with pictures and lists, the names of these in it, and the folder for prepared pictures.

    `face` says which face is taken of a picture that has several. Methods raise DataError, in one line for the user.
    """

    folder: Path
    cache: Path
    images: str
    train_pairs: str
    train_people: str
    test_pairs: str
    face: FaceOf = "center"

    @property
    def pictures(self) -> Path:
        """The folder of people, or its archive."""
        if not self.folder.is_dir():
            raise DataError(f"{self.folder}: there is no such folder; name the data with --data or FACEPAIR_LFW")
        return find_images(self.folder, self.images)

    def files(self, keys: Iterable[Key]) -> dict[Key, bytes]:
        """The files of those pictures that are there."""
        wanted = set(keys)
        found = ((key_of(path), data) for path, data in picture_files(self.pictures))
        return {key: data for key, data in found if key in wanted}

    def album(self, config: PreprocessingConfig) -> Album:
        """The pictures, prepared."""
        return open_album(self.pictures, self.cache, config, self.face)

    def pairs(self, album: Album, name: str) -> PairSet:
        """All pairs of the list of that name."""
        path = self.folder / name
        return resolve(path, read_pairs(path), album.index(), album.faceless)
