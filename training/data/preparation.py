"""Albums prepared from picture files by the service's own code, and kept in stores of mapped shards.

What is prepared is kept: a preparation that was killed goes on where it was, and later only new or changed pictures are
prepared.
"""

import hashlib
import json
import sys
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from model.errors import DataError
from model.imaging import crops, detection
from model.imaging.formats.recognition import TAKEN
from model.imaging.preprocessing import PreprocessingConfig
from training.data import shards
from training.data.album import Album, Key, key_of
from training.data.cropping import (
    Cropping,
    FaceOf,
    File,
    Outcome,
    Unreadable,
    cores,
    crop_all,
    require_guarded_script,
    workers,
)
from training.data.pictures import picture_files, pictures_in, size_and_time
from training.data.shards import Row, Shard
from training.data.store import ShardWriter, Store, name_of_source

# How many broken pictures a message lists.
NAMED = 10
# Part of what a store is recognised by. Raise it when a change of the code may change the crops of some pictures.
CROPS_VERSION = 4
# Pictures that a worker gets at once, and how many times that for each worker are on their way.
AT_ONCE, AHEAD = 16, 2
# From so many new pictures on, or from so large an archive, processes are worth their start; threads share one lock.
MANY, LARGE_BYTES = 512, 32 * 2**20

# A picture file: its path in the folder or archive, and what recognises its contents.
Known = tuple[str, str]


def open_album(
    source: Path, cache: Path, config: PreprocessingConfig, face: FaceOf = "center", *, skip_broken: bool = False
) -> Album:
    """The album of a folder or archive, from its store in `cache`, in which missing pictures are prepared first.

    With alignment, `face` says which of several faces is taken. Raises DataError with the names of broken files, unless
    they are left out by `skip_broken`.
    """
    require_guarded_script()
    cropping = Cropping(config=config, face=face)
    store = Store(folder=cache / _name(source, cropping), made_by=_made_by(cropping), config=config)
    listing = _Listing.of(source)
    album = store.read_complete(listing.state)
    if album is None:
        try:
            with store.locked():
                album = store.read_complete(listing.state) or _prepare(source, listing, store, cropping)
        except OSError as error:
            raise DataError(f"{store.folder}: cannot be saved; choose another folder with --cache: {error}") from error
    if not skip_broken or not album.keys:
        _require_whole(source, album.broken)
    if not album.keys:
        wanted = f"{TAKEN} with a face in it" if config.alignment else f"{TAKEN} in it"
        raise DataError(
            f"{source}: has no pictures; expected a folder for each person with {wanted}, or another folder of people "
            "in --data, named with --images"
        )
    return album


def _name(source: Path, cropping: Cropping) -> str:
    config, face = cropping.config, cropping.face
    aligned = "-aligned" if face == "center" else f"-aligned-{face}"
    if config.alignment and config.alignment.refinement != "settled":
        aligned += f"-{config.alignment.refinement}"
    kind = (aligned if config.alignment else "") + ("-rgb" if config.colour == "rgb" else "")
    return f"{source.absolute().name.removesuffix('.tgz')}-{config.side_px}{kind}"


def _made_by(cropping: Cropping) -> str:
    """A digest that changes with the preprocessing and CROPS_VERSION."""
    chosen = [cropping.face] if cropping.config.alignment else []
    return hashlib.sha256(json.dumps([CROPS_VERSION, cropping.config.model_dump(), *chosen]).encode()).hexdigest()


def _require_whole(source: Path, broken: Mapping[Key, str]) -> None:
    if broken:
        more = f"; and {len(broken) - NAMED} more" if len(broken) > NAMED else ""
        named = "; ".join(list(broken.values())[:NAMED])
        raise DataError(f"{source}: repair or remove broken files, or leave them out by --skip-broken: {named}{more}")


@dataclass(frozen=True, kw_only=True)
class _Listing:
    """The picture files of a folder, without reading them; None for an archive. `state` changes with any of them."""

    files: list[Known] | None
    state: str

    @classmethod
    def of(cls, source: Path) -> "_Listing":
        if not source.is_dir():
            return cls(files=None, state=_stamp(source))
        files = [(path, f"{size} {time_ns}") for path, size, time_ns in pictures_in(source)]
        state = hashlib.sha256()
        for path, stamp in files:
            state.update(json.dumps([path, stamp]).encode())
        return cls(files=files, state=state.hexdigest())


def _stamp(path: Path) -> str:
    size, time_ns = size_and_time(path)
    return f"{size} {time_ns}"


def _prepare(source: Path, listing: _Listing, store: Store, cropping: Cropping) -> Album:
    """Prepares what the store lacks, and removes what the source no longer has. Raises DataError and OSError."""
    _require_detector(cropping)
    intact = _begin(source, listing, store)
    there = {known for shard in intact for known in zip(shard.paths, shard.stamps, strict=True)}
    pictures, writer = _Pictures(source, listing, there), ShardWriter(store)
    unreadable: dict[Key, str] = {}
    try:
        for known, outcome in _outcomes(pictures, cropping):
            if isinstance(outcome, Unreadable):
                unreadable[key_of(PurePosixPath(known[0]))] = outcome.reason
            else:
                writer.add(Row(path=known[0], stamp=known[1], outcome=outcome))
    except BrokenProcessPool as error:
        raise DataError(
            f"{source}: a process that prepared pictures was killed, perhaps for want of memory; start the command "
            "again, and it goes on where it was"
        ) from error
    finally:
        writer.flush()
    found = _tidied(store, [*intact, *writer.written], pictures.seen)
    album = store.album(found)
    # Files that could not be read are tried again each time.
    store.write_contents(source, "" if unreadable else listing.state, found, album.sha256)
    album.broken.update(unreadable)
    return album


def _require_detector(cropping: Cropping) -> None:
    if cropping.config.alignment:
        crops.require_detector(cropping.config, detection.FaceFinder())


def _begin(source: Path, listing: _Listing, store: Store) -> list[Shard]:
    """The shards that can be used, after the rest is removed."""
    old = store.folder.with_name(f"{store.folder.name}.npz")
    if old.exists() and not store.contents():
        tqdm.write(f"{old}: no longer read, remove it; pictures are prepared again in {store.folder}", file=sys.stderr)
    shards.remove_leftovers(store.folder)
    contents = store.contents()
    same = contents and (contents.source == name_of_source(source) or contents.pictures == listing.state)
    if not same:  # files of another folder can have the same names, sizes and times
        for number in shards.numbers(store.folder):
            shards.remove(store.folder, number)
    intact = store.read_intact()
    store.write_contents(source, listing.state, intact, "")
    return intact


class _Pictures:
    """The pictures of a source that are not `there`. `seen` has all of them when it was iterated to its end."""

    def __init__(self, source: Path, listing: _Listing, there: Collection[Known]) -> None:
        self.seen: set[Known] = set()
        self.title = f"preparing {source.name}"
        self._source, self._files, self._there = source, listing.files, there
        if self._files is None:
            self.count = None
            self.many = size_and_time(source)[0] >= LARGE_BYTES
        else:
            self.count = sum(known not in there for known in self._files)
            self.many = self.count >= MANY

    def __iter__(self) -> Iterator[tuple[Known, File]]:
        """Raises DataError for two pictures of one name, or an unusable archive."""
        keys: set[Key] = set()
        for known, file in self._every():
            key = key_of(PurePosixPath(known[0]))
            if key in keys:
                raise DataError(
                    f"{self._source}: {known[0]}: another picture of this person has the same name; remove or rename "
                    "one"
                )
            keys.add(key)
            self.seen.add(known)
            if known not in self._there:
                yield known, file

    def _every(self) -> Iterator[tuple[Known, File]]:
        if self._files is None:
            for path, data in picture_files(self._source):
                assert isinstance(data, bytes), "an archive is readable or refused"
                yield (path.as_posix(), hashlib.sha256(data).hexdigest()), data
            return
        for known in self._files:
            yield known, self._source / known[0]


def _outcomes(pictures: _Pictures, cropping: Cropping) -> Iterator[tuple[Known, Outcome | Unreadable]]:
    """The outcome of each picture, in order, with a progress bar on a terminal."""
    hidden = True if pictures.count == 0 else None  # None: on a terminal alone
    with (
        workers(processes=pictures.many) as pool,
        tqdm(total=pictures.count, desc=pictures.title, unit=" pictures", mininterval=1, disable=hidden) as bar,
    ):
        for known, outcome in _in_parallel(pool, pictures, cropping):
            bar.update()
            yield known, outcome


def _in_parallel(
    pool: Executor, pictures: Iterable[tuple[Known, File]], cropping: Cropping
) -> Iterator[tuple[Known, Outcome | Unreadable]]:
    waiting: deque[tuple[list[Known], Future[list[Outcome | Unreadable]]]] = deque()
    every = iter(pictures)
    while some := list(islice(every, AT_ONCE)):
        named = [(PurePosixPath(path).parts[-2:], file) for (path, _), file in some]
        waiting.append(([known for known, _ in some], pool.submit(crop_all, named, cropping)))
        if len(waiting) > AHEAD * cores():
            known, future = waiting.popleft()
            yield from zip(known, future.result(), strict=True)
    for known, future in waiting:
        yield from zip(known, future.result(), strict=True)


def _tidied(store: Store, found: list[Shard], wanted: Collection[Known]) -> list[Shard]:
    """The shards without files that are not wanted, or twice there; at most one is not full."""
    loose: list[tuple[Shard, list[int]]] = []
    kept, seen = [], set[Known]()
    for shard in found:
        rows = []
        for number, known in enumerate(zip(shard.paths, shard.stamps, strict=True)):
            if known in wanted and known not in seen:
                seen.add(known)
                rows.append(number)
        if len(rows) == shards.FULL:
            kept.append(shard)
        else:
            loose.append((shard, rows))
    if len(loose) == 1 and len(loose[0][0]) == len(loose[0][1]):
        return [*kept, loose[0][0]]
    writer = ShardWriter(store)
    for shard, rows in loose:
        for number in rows:
            writer.add(shard.row(number))
    writer.flush()
    for shard, _ in loose:
        shards.remove(store.folder, shard.number)
    return [*kept, *writer.written]
