"""Prepared pictures: from a folder or an archive, from the cache or prepared again, and refused ones."""

import gzip
import json
import os
import shutil
import tarfile
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
import pillow_heif
import pytest
import torch

from model.errors import DataError
from model.imaging.crops import align, choose, find_faces
from model.imaging.decoding import decode
from model.imaging.detection import FaceFinder
from model.imaging.preprocessing import PreprocessingConfig
from tests.drawing import encode, portrait
from tests.faces import head_at, scene
from tests.model.support.pictures import prepare
from training.data.album import Album
from training.data.pictures import describe_ignored, find_images, picture_paths, pictures_in, size_and_time
from training.data.preparation import open_album
from training.learning.experiments import ALIGNED

CONFIG = PreprocessingConfig(side_px=66)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three pictures of two people in three formats, and a file that is no picture."""
    folder = tmp_path / "faces"
    for name in ("Ada", "Kurt"):
        (folder / name).mkdir(parents=True)
    (folder / "Kurt" / "Kurt_0001.png").write_bytes(encode(portrait(1)))
    (folder / "Ada" / "Ada_0002.webp").write_bytes(encode(portrait(0, 2), "WEBP"))
    (folder / "Ada" / "Ada_0001.JPG").write_bytes(encode(portrait(0, 1), "JPEG"))
    (folder / "Ada" / "notes.txt").write_text("not a picture")
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def pack(source: Path) -> Path:
    path = source.with_name(f"{source.name}.tgz")
    with tarfile.open(path, "w:gz") as archive:
        archive.add(source, source.name)
    return path


def refused(source: Path, cache: Path) -> str:
    """The message with which a source is refused, also by a store that has its other pictures."""
    with pytest.raises(DataError) as caught:
        open_album(source, cache, CONFIG)
    message = str(caught.value)
    if any(json.loads(path.read_text())["sha256"] for path in cache.glob("*/album.json")):
        with pytest.raises(DataError) as again:
            open_album(source, cache, CONFIG)
        assert str(again.value) == message
    assert str(source) in message
    assert "\n" not in message
    return message


def assert_equal(left: Album, right: Album) -> None:
    assert left.keys == right.keys
    assert torch.equal(left.pixels[:], right.pixels[:])
    assert left.sha256 == right.sha256


def written_files(cache: Path) -> dict[str, int]:
    """When each file of the stores was written, without the lock."""
    return {str(path): path.stat().st_mtime_ns for path in cache.glob("*/[!.]*")}


def assert_names_the_cache(error: DataError, path: Path) -> None:
    assert str(error).startswith(f"{path}: cannot be saved; choose another folder with --cache: ")
    assert "\n" not in str(error)


def test_album_has_the_crop_of_each_file(source: Path, cache: Path) -> None:
    album = open_album(source, cache, CONFIG)
    assert album.keys == [("Ada", "Ada_0001"), ("Ada", "Ada_0002"), ("Kurt", "Kurt_0001")]
    assert album.index() == {key: number for number, key in enumerate(album.keys)}
    for (person, stem), pixels in zip(album.keys, album.pixels, strict=True):
        (path,) = (source / person).glob(f"{stem}.*")
        assert np.array_equal(pixels.numpy(), prepare(path.read_bytes(), CONFIG))


@pytest.mark.parametrize(("ending", "kind"), [("jfif", "JPEG"), ("HEIC", "HEIF"), ("heif", "HEIF"), ("avif", "AVIF")])
def test_formats_of_phones_and_browsers_are_read_as_by_the_service(
    source: Path, cache: Path, ending: str, kind: str
) -> None:
    data = encode(portrait(1, 2), kind)
    (source / "Kurt" / f"Kurt_0002.{ending}").write_bytes(data)
    album = open_album(source, cache, CONFIG)
    assert len(album.keys) == 4
    assert np.array_equal(album.pixels[album.keys.index(("Kurt", "Kurt_0002"))].numpy(), prepare(data, CONFIG))


def test_folder_and_archive_give_the_same_album(source: Path, cache: Path) -> None:
    assert_equal(open_album(pack(source), cache / "archive", CONFIG), open_album(source, cache / "folder", CONFIG))


def test_cache_is_used_while_files_are_unchanged(source: Path, cache: Path) -> None:
    first = open_album(source, cache, CONFIG)
    written = written_files(cache)
    assert_equal(open_album(source, cache, CONFIG), first)
    assert written_files(cache) == written
    photograph = source / "Ada" / "Ada_0001.JPG"
    stat = photograph.stat()
    photograph.write_bytes(bytes(stat.st_size))
    os.utime(photograph, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert_equal(open_album(source, cache, CONFIG), first)


def test_changed_file_renews_the_cache(source: Path, cache: Path) -> None:
    before = open_album(source, cache, CONFIG)
    (source / "Kurt" / "Kurt_0001.png").write_bytes(encode(portrait(2, size=(90, 90))))
    after = open_album(source, cache, CONFIG)
    assert after.keys == before.keys
    assert not torch.equal(after.pixels[:], before.pixels[:])
    assert after.sha256 != before.sha256


def test_added_file_and_renamed_person_renew_the_cache(source: Path, cache: Path) -> None:
    open_album(source, cache, CONFIG)
    (source / "Ada" / "Ada_0003.png").write_bytes(encode(portrait(0, 3)))
    assert ("Ada", "Ada_0003") in open_album(source, cache, CONFIG).keys
    (source / "Kurt").rename(source / "Konrad")
    assert open_album(source, cache, CONFIG).keys[-1] == ("Konrad", "Kurt_0001")


def test_other_version_of_the_crops_renews_the_cache(
    source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_album(source, cache, CONFIG)
    before = written_files(cache)
    open_album(source, cache, CONFIG)
    assert written_files(cache) == before
    monkeypatch.setattr("training.data.preparation.CROPS_VERSION", 0)
    open_album(source, cache, CONFIG)
    after = written_files(cache)
    assert all(after[name] > written for name, written in before.items())


def test_each_size_has_its_own_cache(source: Path, cache: Path) -> None:
    assert open_album(source, cache, CONFIG).pixels.shape == (3, 66, 66)
    assert open_album(source, cache, PreprocessingConfig(side_px=70)).pixels.shape == (3, 70, 70)
    assert len(list(cache.iterdir())) == 2


def test_face_choice_takes_the_largest_or_most_central_face(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "faces" / "Ada").mkdir(parents=True)
    heads = [head_at(0, x=300, y=240, inter_eye_px=30), head_at(1, x=120, y=220, inter_eye_px=60)]
    picture = encode(scene(*heads))
    (tmp_path / "faces" / "Ada" / "Ada_0001.png").write_bytes(picture)
    finder = FaceFinder()
    for face in ("center", "largest", "center"):
        album = open_album(tmp_path / "faces", cache, ALIGNED, face)
        photograph = decode(picture, ALIGNED)
        faces = find_faces(photograph, finder)
        wanted = align(photograph, faces[choose(faces, face, photograph)], ALIGNED, finder)
        assert np.array_equal(album.pixels[0].numpy(), wanted.pixels)
        assert album.faces[0].count == 2
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("data", [b"", b"no picture", encode(portrait(1))[:200]])
def test_broken_picture_is_named(source: Path, cache: Path, packed: bool, data: bytes) -> None:
    (source / "Kurt" / "Kurt_0001.png").write_bytes(data)
    assert "Kurt/Kurt_0001.png" in refused(pack(source) if packed else source, cache)


@pytest.mark.parametrize("packed", [False, True])
def test_broken_files_are_named_and_left_out_if_asked(source: Path, cache: Path, packed: bool) -> None:
    whole = open_album(source, source.parent / "whole", CONFIG)
    (source / "Ada" / "cut.png").write_bytes(encode(portrait(1))[:200])
    (source / "Kurt" / "empty.jpg").write_bytes(b"")
    files = pack(source) if packed else source
    assert "leave them out by --skip-broken: Ada/cut.png: " in refused(files, cache)
    for _ in ("prepared", "from the cache"):
        album = open_album(files, cache, CONFIG, skip_broken=True)
        assert_equal(album, whole)
        assert list(album.broken) == [("Ada", "cut"), ("Kurt", "empty")]
        assert album.broken["Ada", "cut"] == "Ada/cut.png: the PNG data is truncated or damaged"
        assert album.broken["Kurt", "empty"].startswith("Kurt/empty.jpg: ")
    with pytest.raises(DataError, match=r"leave them out by --skip-broken: Ada/cut\.png"):
        open_album(files, cache, CONFIG)
    shutil.rmtree(source / "Kurt")
    shutil.rmtree(source / "Ada")
    (source / "Ada").mkdir()
    (source / "Ada" / "cut.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"Ada/cut\.png: this is text"):
        open_album(pack(source) if packed else source, cache, CONFIG, skip_broken=True)


def test_files_that_cannot_be_read_are_left_out_if_asked(source: Path, cache: Path) -> None:
    for name, target in (("a", "absent.jpg"), ("b", "/proc/self/mem")):
        (source / "Ada" / f"{name}.jpg").symlink_to(target)
    album = open_album(source, cache, CONFIG, skip_broken=True)
    assert [name for name, _ in album.keys] == ["Ada", "Ada", "Kurt"]
    assert [reason.split(": [")[0] for reason in album.broken.values()] == [
        f"{source / 'Ada' / name}.jpg: cannot be read" for name in "ab"
    ]


def test_all_broken_pictures_are_named_up_to_ten(source: Path, cache: Path) -> None:
    for number in range(12):
        (source / "Kurt" / f"Kurt_{number + 10}.png").write_bytes(b"no picture")
    message = refused(source, cache)
    assert message.count(".png: this is text") == 10
    assert message.endswith("; and 2 more")


def test_ignored_files_are_described(source: Path) -> None:
    for path in source.rglob("*.txt"):
        path.unlink()
    assert describe_ignored(source) == describe_ignored(pack(source)) == ""
    (source / "Kurt" / "deep").mkdir()
    shutil.copy(source / "Ada" / "Ada_0002.webp", source / "Kurt" / "deep" / "Kurt_0009.webp")
    for name in ("Kurt_0001.TIFF", "Kurt_0002.TIFF", "notes", ".hidden"):
        (source / "Kurt" / name).write_bytes(b"")
    assert describe_ignored(source) == "other files (3: .TIFF, notes), pictures not in NAME/FILE (1)"
    for number in range(20):
        (source / "Kurt" / f"scan.{number:02d}").write_bytes(b"")
    assert describe_ignored(source).startswith("other files (23: .00, .01, ")
    assert ".09, ...)" in describe_ignored(source)


@pytest.mark.parametrize("place", ["Ada/deep/x.png", "x.png", "Ada/notes.TIFF", "deep/er/Kurt/x.png"])
def test_folder_and_its_archive_mean_the_same_people(tmp_path: Path, cache: Path, place: str) -> None:
    """Files elsewhere than in NAME/FILE are left out of both, and said."""
    people = tmp_path / "x" / "people"
    for name in ("Ada/1.png", "Ada/2.png", "Kurt/1.png", place):
        (people / name).parent.mkdir(parents=True, exist_ok=True)
        (people / name).write_bytes(encode(portrait(0)))
    archive = pack(tmp_path / "x")
    assert describe_ignored(archive) == describe_ignored(people) != ""
    found = open_album(archive, cache, CONFIG)
    assert_equal(found, open_album(people, cache, CONFIG))
    assert found.names == ["Ada/1", "Ada/2", "Kurt/1"]


@pytest.mark.parametrize("place", ["others/Ada/x.png", "val/people/Ada/x.png"])
def test_archive_of_several_folders_of_people_is_refused(tmp_path: Path, cache: Path, place: str) -> None:
    for name in ("people/Ada/1.png", "people/Kurt/1.png", place):
        (tmp_path / "x" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "x" / name).write_bytes(encode(portrait(0)))
    message = refused(pack(tmp_path / "x"), cache)
    assert f"x/{place}" in message
    assert "x/people/Ada/1.png" in message
    assert "are not both NAME/FILE in one folder" in message


def test_folder_named_like_the_archive_is_taken_if_two_have_as_many_pictures(tmp_path: Path, cache: Path) -> None:
    """`people/x.png` could be a picture of somebody called people."""
    for name in ("Ada/1.png", "x.png"):
        (tmp_path / "people" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "people" / name).write_bytes(encode(portrait(0)))
    archive = pack(tmp_path / "people")
    assert open_album(archive, cache, CONFIG).names == ["Ada/1"]
    archive.rename(tmp_path / "other.tgz")
    assert open_album(tmp_path / "other.tgz", cache, CONFIG).names == ["people/x"]


def test_pictures_of_a_folder_are_in_the_order_of_their_paths(tmp_path: Path) -> None:
    """As a slow search finds them, with what tells that a file has changed."""
    for name in ("A b/1.jpg", "A/2.JPG", "A/10.png", "A-b/1.webp", "A/.2.jpg", "A/2.txt", ".A/1.jpg", "A/x/1.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "A" / "folder.jpg").mkdir()
    (tmp_path / "A" / "lost.jpg").symlink_to("nothing")
    (tmp_path / "1.jpg").touch()
    searched = sorted(path for path in tmp_path.glob("[!.]*/[!.]*") if path.suffix in {".jpg", ".JPG", ".png", ".webp"})
    searched.remove(tmp_path / "A" / "folder.jpg")
    assert picture_paths(tmp_path) == searched
    assert [tmp_path / path for path, _, _ in pictures_in(tmp_path)] == searched
    for path, size, time_ns in pictures_in(tmp_path):
        assert (size, time_ns) == ((0, 0) if path == "A/lost.jpg" else size_and_time(tmp_path / path))
    assert describe_ignored(tmp_path) == "other files (2: .jpg, .txt), pictures not in NAME/FILE (2)"


def test_person_who_is_a_link_is_followed_in_a_folder_and_refused_in_an_archive(source: Path, cache: Path) -> None:
    (source / "Eve").symlink_to("Ada", target_is_directory=True)
    assert ("Eve", "Ada_0001") in open_album(source, cache / "folder", CONFIG).keys
    assert "faces/Eve is a link; pack with tar --dereference" in refused(pack(source), cache / "archive")


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
@pytest.mark.parametrize("packed", [False, True])
def test_heic_and_avif_are_read_as_the_service_reads_them(
    source: Path, cache: Path, kind: Literal["HEIF", "AVIF"], packed: bool
) -> None:
    pillow_heif.register_heif_opener()
    ending = {"HEIF": ".HEIC", "AVIF": ".avif"}[kind]
    data = encode(portrait(2, 1), kind)
    (source / "Kurt" / f"phone{ending}").write_bytes(data)
    (source / "Ada" / "notes.txt").unlink()
    files = pack(source) if packed else source
    assert describe_ignored(files) == ""
    album = open_album(files, cache, CONFIG)
    assert np.array_equal(album.pixels[album.keys.index(("Kurt", "phone"))].numpy(), prepare(data, CONFIG))


@pytest.mark.parametrize("hard", [False, True])
def test_link_in_an_archive_is_refused_with_what_to_do(source: Path, cache: Path, hard: bool) -> None:
    link, target = source / "Kurt" / "Kurt_0002.png", source / "Kurt" / "Kurt_0001.png"
    link.hardlink_to(target) if hard else link.symlink_to(target)
    assert ("Kurt", "Kurt_0002") in open_album(source, cache / "folder", CONFIG).keys
    message = refused(pack(source), cache / "archive")
    assert " is a link; pack with tar --dereference --hard-dereference" in message


def test_hidden_files_are_ignored(source: Path, cache: Path) -> None:
    """macOS puts `._NAME` beside every file on a disk that is not its own."""
    expected = open_album(source, cache, CONFIG).keys
    (source / "Ada" / "._Ada_0001.png").write_bytes(b"resource fork")
    assert open_album(source, cache, CONFIG).keys == expected
    assert open_album(pack(source), cache, CONFIG).keys == expected


@pytest.mark.parametrize("packed", [False, True])
def test_composed_and_decomposed_folders_are_one_person(tmp_path: Path, cache: Path, packed: bool) -> None:
    folder = tmp_path / "mac"
    for name, picture in (("Zoë", 1), ("Zoe\u0308", 2)):
        (folder / name).mkdir(parents=True)
        (folder / name / f"{picture}.png").write_bytes(encode(portrait(0, picture)))
    for _ in ("prepared", "from the cache"):
        album = open_album(pack(folder) if packed else folder, cache, CONFIG)
        assert album.keys == [("Zoë", "1"), ("Zoë", "2")]
    shutil.copy(folder / "Zoë" / "1.png", folder / "Zoe\u0308" / "1.png")
    with pytest.raises(DataError, match="another picture of this person has the same name; remove or rename one"):
        open_album(pack(folder) if packed else folder, cache, CONFIG)


def test_two_endings_of_one_name_are_refused(source: Path, cache: Path) -> None:
    shutil.copy(source / "Ada" / "Ada_0002.webp", source / "Ada" / "Ada_0001.webp")
    message = refused(source, cache)
    assert "Ada/Ada_0001.webp" in message
    assert "another picture of this person has the same name" in message


def test_source_without_pictures_is_refused(tmp_path: Path, cache: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "has no pictures" in refused(empty, cache)
    assert "has no pictures" in refused(pack(empty), cache)


def test_truncated_archive_is_refused(source: Path, cache: Path) -> None:
    path = pack(source)
    good = path.read_bytes()
    for length in range(0, len(good) - 1, 9):
        path.write_bytes(good[:length])
        assert "not a readable archive" in refused(path, cache)


def test_archive_with_a_flipped_bit_is_refused(source: Path, cache: Path) -> None:
    path = pack(source)
    good = path.read_bytes()
    damages = 0
    for place in range(len(good) // 4, len(good) - 8, len(good) // 20):
        damaged = good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :]
        if not same_contents(good, damaged):
            path.write_bytes(damaged)
            refused(path, cache)
            damages += 1
    assert damages > 10


def same_contents(good: bytes, damaged: bytes) -> bool:
    """Whether the bit was one that means nothing, of which deflate has a few between its blocks."""
    try:
        return gzip.decompress(damaged) == gzip.decompress(good)
    except (OSError, EOFError, zlib.error):
        return False


def test_folder_named_like_a_picture_is_ignored(source: Path, cache: Path) -> None:
    before = open_album(source, cache, CONFIG)
    (source / "Ada" / "d.jpg").mkdir()
    assert_equal(open_album(source, cache, CONFIG), before)


def test_links_are_followed_and_broken_ones_refused(source: Path, cache: Path) -> None:
    link = source / "Ada" / "z.jpg"
    link.symlink_to("Ada_0001.JPG")
    assert ("Ada", "z") in open_album(source, cache, CONFIG).keys
    shutil.rmtree(cache)
    link.unlink()
    link.symlink_to("absent.jpg")
    assert f"{link}: cannot be read" in refused(source, cache)


def test_unreadable_picture_is_named(source: Path, cache: Path) -> None:
    link = source / "Ada" / "z.jpg"
    link.symlink_to("/proc/self/mem")  # a regular file, whose first byte cannot be read
    assert f"{link}: cannot be read" in refused(source, cache)


@pytest.mark.parametrize("name", ["absent", "absent.tgz"])
def test_missing_source_is_refused(tmp_path: Path, cache: Path, name: str) -> None:
    refused(tmp_path / name, cache)


def test_unwritable_cache_leaves_no_file(source: Path, cache: Path) -> None:
    cache.mkdir()
    target = cache / "faces-66"
    target.write_text("a file")
    with pytest.raises(DataError) as caught:
        open_album(source, cache, CONFIG)
    assert_names_the_cache(caught.value, target)
    assert list(cache.iterdir()) == [target]


def test_cache_that_is_a_file_is_refused(source: Path, cache: Path) -> None:
    cache.write_text("a file")
    with pytest.raises(DataError) as caught:
        open_album(source, cache, CONFIG)
    assert_names_the_cache(caught.value, cache / "faces-66")


def test_find_images_takes_the_folder_or_the_archive(source: Path) -> None:
    assert find_images(source.parent, "faces") == source
    archive = pack(source)
    assert find_images(source.parent, "faces") == source
    shutil.rmtree(source)
    assert find_images(source.parent, "faces") == archive
    with pytest.raises(DataError, match=r"neither the folder other nor the archive other\.tgz"):
        find_images(source.parent, "other")
