"""The album's store: several shards, what is prepared again and what is not, damage, and memory."""

import os
import shutil
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from model.errors import DataError
from model.imaging.preprocessing import PreprocessingConfig
from tests.drawing import encode, portrait
from tests.training.support.small_faces import draw_faces
from training.data import cropping, preparation, shards
from training.data.album import Album
from training.data.cropping import Cropped, Cropping, File, Outcome, Unreadable
from training.data.preparation import open_album
from training.data.shards import Row
from training.data.store import ShardWriter, Store, StoredPixels
from training.learning.experiments import ALIGNED

CONFIG = PreprocessingConfig(side_px=32)
PEOPLE, PICTURES = 4, 5
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "FULL", 6)
    monkeypatch.setattr(preparation, "AT_ONCE", 2)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Twenty pictures of four people, in four shards."""
    folder = tmp_path / "faces"
    for person in range(PEOPLE):
        (folder / f"P{person}").mkdir(parents=True)
        for picture in range(PICTURES):
            (folder / f"P{person}" / f"{picture}.png").write_bytes(encode(portrait(person, picture)))
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pictures that were prepared, PERSON/FILE."""
    found: list[str] = []

    def crop_all(files: Sequence[tuple[Sequence[str], File]], made: Cropping) -> list[Outcome | Unreadable]:
        found.extend("/".join(name) for name, _ in files)
        return cropping.crop_all(files, made)

    monkeypatch.setattr(preparation, "crop_all", crop_all)
    return found


def assert_equal(left: Album, right: Album) -> None:
    assert (left.keys, left.faceless, left.broken, left.sha256) == (
        right.keys, right.faceless, right.broken, right.sha256
    )  # fmt: skip
    assert torch.equal(left.pixels[:], right.pixels[:])
    assert list(left.faces) == list(right.faces)


def fresh(source: Path, tmp_path: Path) -> Album:
    """The album prepared from nothing, in one shard."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "FULL", 1000)
        shutil.rmtree(tmp_path / "fresh", ignore_errors=True)
        return open_album(source, tmp_path / "fresh", CONFIG)


def files_of(cache: Path) -> list[Path]:
    return sorted(cache.glob("*/[!.]*"))


def test_stored_pixels_are_indexed_like_a_tensor() -> None:
    draws = np.random.default_rng(0)
    maps = [draws.integers(0, 256, (n, 3, 3), np.uint8) for n in (4, 0, 7, 2)]
    shard, place = np.repeat(np.arange(4), [4, 0, 7, 2]), np.concatenate([np.arange(n) for n in (4, 0, 7, 2)])
    order = draws.permutation(13)
    stored = StoredPixels(maps, shard[order], place[order], (3, 3))
    whole = torch.from_numpy(np.concatenate(maps)[order])
    assert (len(stored), stored.shape) == (13, whole.shape)
    assert torch.equal(torch.stack(list(stored)), whole)
    many = torch.randint(13, (3, 5), generator=torch.Generator().manual_seed(0))
    indices: list[int | slice | list[int] | Tensor] = [
        0, 12, -1, slice(None), slice(2, 9, 3), slice(5, 5), [3, 3, 0], torch.tensor([12, 1]), many,
        torch.arange(13) % 3 == 0, torch.tensor([7]), torch.tensor(7), torch.empty(0, dtype=torch.int64),
    ]  # fmt: skip
    for index in indices:
        assert torch.equal(stored[index], whole[index])
    for wrong in (13, -14, torch.tensor([13])):
        with pytest.raises(IndexError):
            stored[wrong]
    stored[0].zero_()
    assert torch.equal(stored[0], whole[0])


def test_shards_give_the_album_of_one_shard(source: Path, cache: Path, tmp_path: Path) -> None:
    album = open_album(source, cache, CONFIG)
    assert [path.suffix for path in files_of(cache)].count(".npy") == 4
    assert_equal(album, fresh(source, tmp_path))
    assert_equal(open_album(source, cache, CONFIG), album)


def test_only_new_and_changed_pictures_are_prepared(
    source: Path, cache: Path, tmp_path: Path, prepared: list[str]
) -> None:
    open_album(source, cache, CONFIG)
    assert len(prepared) == PEOPLE * PICTURES
    prepared.clear()
    (source / "P1" / "9.png").write_bytes(encode(portrait(1, 9)))
    (source / "P2" / "3.png").write_bytes(encode(portrait(7, 3, size=(90, 90))))
    (source / "P0" / "0.png").unlink()
    shutil.rmtree(source / "P3")
    album = open_album(source, cache, CONFIG)
    assert sorted(prepared) == ["P1/9.png", "P2/3.png"]
    assert len(album.keys) == 15
    assert_equal(album, fresh(source, tmp_path))
    assert [path.suffix for path in files_of(cache)].count(".npy") == 3


def test_removed_pictures_leave_the_disk(source: Path, cache: Path) -> None:
    album = open_album(source, cache, CONFIG)
    gone = album.pixels[album.index()["P1", "2"]].numpy().tobytes()
    assert any(gone in path.read_bytes() for path in files_of(cache))
    (source / "P1" / "2.png").unlink()
    open_album(source, cache, CONFIG)
    assert not any(gone in path.read_bytes() for path in files_of(cache))


def test_repaired_picture_alone_is_prepared_again(
    source: Path, cache: Path, tmp_path: Path, prepared: list[str]
) -> None:
    (source / "P1" / "1.png").write_bytes(b"no picture")
    for _ in range(2):
        with pytest.raises(DataError, match=r"P1/1\.png: this is text"):
            open_album(source, cache, CONFIG)
    assert len(prepared) == PEOPLE * PICTURES
    assert list(open_album(source, cache, CONFIG, skip_broken=True).broken) == [("P1", "1")]
    prepared.clear()
    (source / "P1" / "1.png").write_bytes(encode(portrait(1, 1)))
    assert_equal(open_album(source, cache, CONFIG), fresh(source, tmp_path))
    assert prepared[0] == "P1/1.png"
    assert len(prepared) == 1 + PEOPLE * PICTURES  # the fresh one


@pytest.mark.parametrize("damage", ["empty", "short", "half", "end", "flipped", "foreign", "missing"])
@pytest.mark.parametrize("name", ["000001.npy", "000001.npz", "album.json"])
def test_damaged_file_is_made_again(source: Path, cache: Path, prepared: list[str], name: str, damage: str) -> None:
    first = open_album(source, cache, CONFIG)
    path = cache / "faces-32" / name
    good = path.read_bytes()
    middle = len(good) // 2
    flipped = good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :]
    damaged = {"empty": b"", "short": good[:3], "half": good[:middle], "end": good[:-1], "flipped": flipped,
               "foreign": (cache / "faces-32" / "000000.npy").read_bytes()}  # fmt: skip
    prepared.clear()
    path.unlink()  # the album still reads the file that it has mapped
    if damage != "missing":
        path.write_bytes(damaged[damage])
    assert_equal(open_album(source, cache, CONFIG), first)
    assert len(prepared) in ((6,) if name != "album.json" else (0, 20))
    prepared.clear()
    assert_equal(open_album(source, cache, CONFIG), first)
    assert not prepared


def test_flipped_bit_is_found_although_size_and_time_are_kept(source: Path, cache: Path) -> None:
    first = open_album(source, cache, CONFIG)
    path = cache / "faces-32" / "000002.npy"
    status, data = path.stat(), bytearray(path.read_bytes())
    data[-1] ^= 128
    path.unlink()
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert_equal(open_album(source, cache, CONFIG), first)


def test_moved_store_is_verified_and_used(source: Path, cache: Path, tmp_path: Path, prepared: list[str]) -> None:
    first = open_album(source, cache, CONFIG)
    prepared.clear()
    shutil.copytree(cache, tmp_path / "copy")
    assert_equal(open_album(source, tmp_path / "copy", CONFIG), first)
    assert not prepared


def test_killed_preparation_goes_on(source: Path, cache: Path, tmp_path: Path, prepared: list[str]) -> None:
    program = f"""
import os, signal
from pathlib import Path
from model.imaging.preprocessing import PreprocessingConfig
from training.data import cropping, preparation, shards
shards.FULL, preparation.AT_ONCE = 6, 2
def crop_all(files, made):
    if files[0][0] == ("P3", "1.png"):
        os.kill(os.getpid(), signal.SIGKILL)
    return cropping.crop_all(files, made)
preparation.crop_all = crop_all
preparation.AHEAD = 0
preparation.open_album(Path({str(source)!r}), Path({str(cache)!r}), PreprocessingConfig(side_px=32))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False, timeout=280)
    assert done.returncode == -signal.SIGKILL
    there = len(list(cache.glob("*/*.npz")))
    assert there >= 1
    album = open_album(source, cache, CONFIG)
    assert len(prepared) == PEOPLE * PICTURES - 6 * there
    assert_equal(album, fresh(source, tmp_path))


def test_interrupted_preparation_keeps_all_that_is_done(
    source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, prepared: list[str]
) -> None:
    def crop_all(files: Sequence[tuple[Sequence[str], File]], made: Cropping) -> list[Outcome | Unreadable]:
        if files[0][0] == ("P1", "1.png"):
            raise KeyboardInterrupt
        return cropping.crop_all(files, made)

    with monkeypatch.context() as patch:
        patch.setattr(preparation, "crop_all", crop_all)
        with pytest.raises(KeyboardInterrupt):
            open_album(source, cache, CONFIG)
    assert len(open_album(source, cache, CONFIG).keys) == PEOPLE * PICTURES
    assert len(prepared) == PEOPLE * PICTURES - 6


def test_processes_prepare_what_threads_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = draw_faces(tmp_path / "data") / "people"
    (folder / "Person_0" / "z.png").write_bytes(encode(portrait(0).resize((40, 40))))
    (folder / "Person_1" / "z.png").write_bytes(b"no picture")
    one = open_album(folder, tmp_path / "threads", ALIGNED, skip_broken=True)
    monkeypatch.setattr(preparation, "MANY", 0)
    other = open_album(folder, tmp_path / "processes", ALIGNED, skip_broken=True)
    assert list(one.broken) == [("Person_1", "z")]
    assert one.faceless == [("Person_0", "z")]
    assert len(one.faces) == len(one.keys)
    assert_equal(one, other)


def test_script_without_a_guard_ends_with_what_to_do(source: Path, cache: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"""
from pathlib import Path
from model.imaging.preprocessing import PreprocessingConfig
from training.data import preparation
preparation.MANY = 0
preparation.open_album(Path({str(source)!r}), Path({str(cache)!r}), PreprocessingConfig(side_px=32))
""")
    done = subprocess.run(
        [sys.executable, script], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False, timeout=280,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "put the script's calls under if __name__ == '__main__':" in done.stderr


def test_process_that_was_killed_is_said(source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crop_all(*_: object) -> list[Outcome]:
        raise BrokenProcessPool

    monkeypatch.setattr(preparation, "crop_all", crop_all)
    with pytest.raises(DataError, match="start the command again, and it goes on where it was"):
        open_album(source, cache, CONFIG)


def test_pictures_of_another_folder_are_prepared_although_names_sizes_and_times_agree(
    source: Path, cache: Path, tmp_path: Path, prepared: list[str]
) -> None:
    first = open_album(source, cache, CONFIG)
    shutil.copytree(source, tmp_path / "other" / "faces", copy_function=shutil.copy2)
    prepared.clear()
    assert_equal(open_album(tmp_path / "other" / "faces", cache, CONFIG), first)  # all of them: the same pictures
    assert not prepared
    (tmp_path / "other" / "faces" / "P0" / "0.png").unlink()
    open_album(tmp_path / "other" / "faces", cache, CONFIG)
    assert len(prepared) == PEOPLE * PICTURES - 1


def test_archive_is_prepared_like_its_folder_and_goes_on(
    source: Path, cache: Path, tmp_path: Path, prepared: list[str]
) -> None:
    wanted = fresh(source, tmp_path)
    archive = Path(shutil.make_archive(str(tmp_path / "x"), "gztar", tmp_path, "faces")).rename(tmp_path / "faces.tgz")
    prepared.clear()
    assert_equal(open_album(archive, cache, CONFIG), wanted)
    assert len(prepared) == PEOPLE * PICTURES
    (source / "P0" / "7.png").write_bytes(encode(portrait(0, 7)))
    archive = Path(shutil.make_archive(str(tmp_path / "x"), "gztar", tmp_path, "faces")).rename(archive)
    prepared.clear()
    assert len(open_album(archive, cache, CONFIG).keys) == PEOPLE * PICTURES + 1
    assert prepared == ["P0/7.png"]


def test_processes_that_open_an_album_at_once_prepare_it_once(source: Path, cache: Path, prepared: list[str]) -> None:
    with ThreadPoolExecutor(3) as pool:
        albums = list(pool.map(lambda _: open_album(source, cache, CONFIG), range(3)))
    assert len(prepared) == PEOPLE * PICTURES
    assert len({album.sha256 for album in albums}) == 1


def test_old_cache_is_named_and_not_read(source: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache.mkdir()
    (cache / "faces-32.npz").write_bytes(b"")
    for _ in range(2):
        open_album(source, cache, CONFIG)
    said = capsys.readouterr().err
    assert said.count("faces-32.npz: no longer read, remove it; pictures are prepared again in ") == 1
    assert "%" not in said, "the progress bar is for terminals"


@contextmanager
def traced() -> Iterator[list[int]]:
    """The most bytes that were allocated inside."""
    peak: list[int] = []
    tracemalloc.start()
    try:
        yield peak
        peak.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


def batch_of_a_new_album(folder: Path, pictures: int, step: int) -> list[int]:
    """Writes that many pictures, opens the album, and returns the first value of every `step`-th picture."""
    store = Store(folder=folder, made_by="", config=PreprocessingConfig(side_px=100, colour="rgb"))
    store.folder.mkdir()
    writer = ShardWriter(store)
    for number in range(pictures):
        crop = np.full((100, 100, 3), number % 256, np.uint8)
        writer.add(Row(path=f"P/{number:04d}.png", stamp="", outcome=Cropped(pixels=crop)))
    writer.flush()
    first: list[int] = store.album(writer.written).pixels[torch.arange(0, pictures, step)][:, 0, 0, 0].tolist()
    return first


def test_album_is_never_wholly_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither when its shards are written, nor for its digest, nor when batches are read."""
    monkeypatch.setattr(shards, "FULL", 64)
    batch_of_a_new_album(tmp_path / "first", 2, 1)  # imports what is imported late, which takes megabytes
    with traced() as peak:
        batch = batch_of_a_new_album(tmp_path / "second", 2500, 25)
    assert batch == [number % 256 for number in range(0, 2500, 25)]
    assert peak[0] < 2500 * 100 * 100 * 3 / 3
