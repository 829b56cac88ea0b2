"""A data set's folder: its pictures, in a folder with one folder per person or in a .tgz of one, and its lists."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from model.errors import DataError
from model.imaging.preprocessing import PreprocessingConfig
from training.data import lists
from training.data.album import Album, Key, PairSet, key_of
from training.data.cropping import FaceOf
from training.data.pictures import find_images, picture_files
from training.data.preparation import open_album


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """A folder with pictures and lists, their names in it, and the folder for prepared pictures."""

    folder: Path
    cache: Path
    images: str
    train_pairs: str
    train_people: str
    test_pairs: str
    face: FaceOf = "center"
    skip_broken: bool = False

    @property
    def pictures(self) -> Path:
        """The folder of people, or its archive. Raises DataError if there is neither."""
        if not self.folder.is_dir():
            raise DataError(f"{self.folder}: the folder does not exist; name the data with --data or FACEPAIR_LFW")
        return find_images(self.folder, self.images)

    def files(self, keys: Iterable[Key]) -> dict[Key, bytes]:
        """Raises DataError if one of them cannot be read."""
        wanted, found = set(keys), {}
        for path, data in picture_files(self.pictures):
            if (key := key_of(path)) in wanted:
                if isinstance(data, DataError):
                    raise data
                found[key] = data
        return found

    def album(self, config: PreprocessingConfig) -> Album:
        return open_album(self.pictures, self.cache, config, self.face, skip_broken=self.skip_broken)

    def pairs(self, album: Album, name: str) -> PairSet:
        path = self.folder / name
        return lists.resolve(path, lists.read_pairs(path), album)

    def pairs_at_hand(self, album: Album, name: str) -> tuple[PairSet, int]:
        """The list's pairs whose pictures exist, and the number of all its pairs."""
        pairs = lists.read_pairs(self.folder / name)
        return lists.pairs_at_hand(pairs, album), len(pairs)
