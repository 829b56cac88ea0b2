"""Lists of pairs and of people, LFW's and a user's own, mistakes in them, and the pictures that they name."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model.errors import DataError
from model.imaging.preprocessing import PreprocessingConfig
from training.data.album import Album, Key, PairSet, key_of, name_of
from training.data.lists import (
    Pair,
    pictures_of,
    read_folds,
    read_pair_folds,
    read_pairs,
    read_people,
    read_people_folds,
    resolve,
)


def write(folder: Path, text: str) -> Path:
    path = folder / "pairs.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_pair_set_gives_the_keys_of_its_pictures() -> None:
    keys = [key_of(Path("people") / name) for name in ("Ada/Ada_0001.png", "Ada/sea.side.jpg", "Kurt/Kurt_0001.webp")]
    assert [name_of(key) for key in keys] == ["Ada/Ada_0001", "Ada/sea.side", "Kurt/Kurt_0001"]
    pairs = PairSet(left=torch.tensor([0, 2]), right=torch.tensor([1, 0]), same=torch.tensor([1.0, 0.0]))
    assert pairs.keys_of(keys) == [(keys[0], keys[1]), (keys[2], keys[0])]


def test_reads_the_format_of_lfw(tmp_path: Path) -> None:
    path = write(tmp_path, "1\nAda_Byron\t1\t12\nAda_Byron\t3\tKurt_Gödel\t4\n")
    same, different = read_pairs(path)
    assert same == Pair(left=("Ada_Byron", "Ada_Byron_0001"), right=("Ada_Byron", "Ada_Byron_0012"), line=2)
    assert different == Pair(left=("Ada_Byron", "Ada_Byron_0003"), right=("Kurt_Gödel", "Kurt_Gödel_0004"), line=3)
    assert same.same
    assert not different.same


def test_reads_file_names_without_a_count(tmp_path: Path) -> None:
    path = write(tmp_path, "Ada\tat the sea.jpg\tportrait.v2.png\n\nAda\tportrait.v2.png\tKurt\t7\n")
    same, different = read_pairs(path)
    assert same == Pair(left=("Ada", "at the sea"), right=("Ada", "portrait.v2"), line=1)
    assert different == Pair(left=("Ada", "portrait.v2"), right=("Kurt", "Kurt_0007"), line=3)


@pytest.mark.parametrize("count", ["", "1\n"])
def test_byte_order_mark_is_ignored(tmp_path: Path, count: str) -> None:
    text = f"{count}Ada\t1\t2\nAda\t1\tKurt\t1\n"
    assert read_pairs(write(tmp_path, f"\ufeff{text}")) == read_pairs(write(tmp_path, text))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_list_in_utf_16_is_read(tmp_path: Path, encoding: str) -> None:
    text = "Kurt_Gödel\t1\t2\nKurt_Gödel\t1\tAda\t1\n"
    wanted = read_pairs(write(tmp_path, text))
    for mark in ("", "\ufeff"):  # Python's utf-16 writes it always
        (tmp_path / "wide.txt").write_bytes((mark * (encoding != "utf-16") + text).encode(encoding))
        assert read_pairs(tmp_path / "wide.txt") == wanted


def test_list_in_another_encoding_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("Kurt_Gödel\t1\t2\n".encode("latin-1"))
    with pytest.raises(DataError, match="cannot be read as a pair list; save it as UTF-8"):
        read_pairs(tmp_path / "latin.txt")


def test_composed_and_decomposed_names_are_the_same(tmp_path: Path) -> None:
    """macOS decomposes the letters of file names, and keyboards compose them."""
    composed, decomposed = "Zoë", "Zoe\u0308"
    assert composed != decomposed
    assert key_of(Path(decomposed) / f"{decomposed}.jpg") == (composed, composed)
    rows = [f"{name}\t{picture}.jpg\t2\n" for name, picture in ((composed, decomposed), (decomposed, composed))]
    assert read_pairs(write(tmp_path, rows[0])) == read_pairs(write(tmp_path, rows[1]))
    assert read_people(write(tmp_path, f"{decomposed}\t3\n")) == {composed: 3}
    with pytest.raises(DataError, match=":2: Zoë is listed twice"):
        read_people(write(tmp_path, f"{decomposed}\t3\n{composed}\t3\n"))


def test_file_names_may_have_dots_and_no_ending(tmp_path: Path) -> None:
    for name in ("sea.side", "sea.side.jpg", "sea.side.JPEG", "sea.side.webp"):
        (pair,) = read_pairs(write(tmp_path, f"Ada\t{name}\tJan.2019\n"))
        assert (pair.left, pair.right) == (("Ada", "sea.side"), ("Ada", "Jan.2019"))


def test_one_person_named_twice_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r":1: expected NAME once for two pictures of one person: Ada, 1, 2"):
        read_pairs(write(tmp_path, "Ada\t1\tAda\t2\n"))


def test_superscript_digit_is_not_a_number(tmp_path: Path) -> None:
    (pair,) = read_pairs(write(tmp_path, "Ada\t²\t2\n"))
    assert pair == Pair(left=("Ada", "²"), right=("Ada", "Ada_0002"), line=1)
    with pytest.raises(DataError, match=r":1: expected NAME"):
        read_pairs(write(tmp_path, "²\nAda\t1\t2\n"))


@pytest.mark.parametrize("line", ["Ada 1 2", "Ada\t1", "Ada\t1\tAda\t2", "Ada\t1\tKurt\t2\t3"])
def test_malformed_line_is_named(tmp_path: Path, line: str) -> None:
    path = write(tmp_path, f"Ada\t1\t2\nAda\t1\t3\n{line}\n")
    with pytest.raises(DataError, match="expected NAME") as caught:
        read_pairs(path)
    assert str(caught.value).startswith(f"{path}:3: ")


@pytest.mark.parametrize("count", [1, 3])
def test_wrong_number_of_pairs_is_refused(tmp_path: Path, count: int) -> None:
    path = write(tmp_path, f"{count}\nAda\t1\t2\nAda\t1\t3\nAda\t1\tKurt\t1\nAda\t2\tKurt\t1\n")
    with pytest.raises(DataError) as caught:
        read_pairs(path)
    assert str(caught.value) == (
        f"{path}:1: the first line says {count} pairs of each kind, but there are 2 genuine and 2 impostor pairs"
    )


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("Ada\t1\t2\nAda\t3\t3\n", r":2: Ada/Ada_0003 is paired with itself"),
        ("Ada\t1\t2\nEve\t1\t2\nAda\t1\t2\n", r":3: the same pair as in line 1; remove a line"),
        ("Ada\t1\tEve\t2\n\nEve\t2\tAda\t1\n", r":3: the same pair as in line 1; remove a line"),
    ],
)
def test_repeated_pair_or_picture_is_refused(tmp_path: Path, lines: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_pairs(write(tmp_path, lines))


@pytest.mark.parametrize("text", ["", "\n\n", "0\n"])
def test_list_without_pairs_is_refused(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(DataError, match="has no pairs") as caught:
        read_pairs(path)
    assert str(path) in str(caught.value)


def test_missing_or_binary_list_is_refused(tmp_path: Path) -> None:
    binary = tmp_path / "binary.txt"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "absent.txt", binary):
        with pytest.raises(DataError, match="cannot be read as a pair list") as caught:
            read_pairs(path)
        assert str(caught.value).startswith(f"{path}: ")


def album_of(*keys: Key) -> Album:
    """An album of black pictures."""
    pixels = torch.zeros(len(keys), 1, 1, dtype=torch.uint8)
    return Album(keys=list(keys), pixels=pixels, sha256="", preprocessing=PreprocessingConfig())


def test_resolve_finds_the_pictures(tmp_path: Path) -> None:
    path = write(tmp_path, "Ada\t1\t2\nAda\t2\tKurt\t1\n")
    album = album_of(("Kurt", "Kurt_0001"), ("Ada", "Ada_0001"), ("Ada", "Ada_0002"))
    pairs = resolve(path, read_pairs(path), album)
    assert pairs.left.tolist() == [1, 2]
    assert pairs.right.tolist() == [2, 0]
    assert pairs.same.tolist() == [1.0, 0.0]
    assert pairs.same.dtype == torch.float32


def test_resolve_names_missing_pictures(tmp_path: Path) -> None:
    path = write(tmp_path, "1\nAda\t1\t2\nAda\t1\tKurt\t9\n")
    album = album_of(("Ada", "Ada_0001"), ("Ada", "Ada_0002"))
    with pytest.raises(DataError) as one:
        resolve(path, read_pairs(path), album)
    assert str(one.value) == f"{path}:3: there is no picture Kurt/Kurt_0009"
    with pytest.raises(DataError) as several:
        resolve(path, read_pairs(path), album_of(("Ada", "Ada_0001")))
    assert str(several.value) == f"{path}:2: there is no picture Ada/Ada_0002, and 1 more"
    with pytest.raises(DataError) as faceless:
        resolve(path, read_pairs(path), replace(album, faceless=[("Kurt", "Kurt_0009")]))
    assert str(faceless.value) == f"{path}:3: no face large enough was found in Kurt/Kurt_0009"


def test_reads_people_in_the_format_of_lfw(tmp_path: Path) -> None:
    wanted = {"Ada_Byron": 3, "Kurt_Gödel": 12}
    assert read_people(write(tmp_path, "2\nAda_Byron\t3\nKurt_Gödel\t12\n")) == wanted
    assert read_people(write(tmp_path, "\ufeffAda_Byron\t3\n\nKurt_Gödel\t12")) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\nAda\n", ":2: expected NAME"),
        ("Ada 3\n", ":1: expected NAME"),
        ("Ada\t0\n", ":1: expected NAME"),
        ("Ada\t-1\n", ":1: expected NAME"),
        ("Ada\t1\n\t3\n", ":2: expected NAME"),
        ("Ada\t1\t2\n", ":1: expected NAME"),
        ("Ada\t1\nKurt\t1\nAda\t1\n", ":3: Ada is listed twice; remove a line"),
        ("3\nAda\t1\n", ":1: the first line says 3 people, but there are 1"),
        ("", ": the list has no people"),
        ("0\n", ": the list has no people"),
    ],
)
def test_malformed_list_of_people_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(DataError) as caught:
        read_people(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_missing_list_of_people_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read as a list of people"):
        read_people(tmp_path / "people.txt")


def test_pictures_are_found_and_counted() -> None:
    album = album_of(("Ada", "a"), ("Bob", "b"), ("Ada", "c"), ("Eve", "d"))
    found = pictures_of(Path("list"), {"Ada": 2, "Eve": 1}, album)
    assert {name: indices.tolist() for name, indices in found.items()} == {"Ada": [0, 2], "Eve": [3]}
    with pytest.raises(DataError, match="list: Eve should have 2 pictures, but the album has 1"):
        pictures_of(Path("list"), {"Ada": 2, "Eve": 2}, album)
    with pytest.raises(DataError, match="Ada should have 3 pictures, but the album has 2; 1 more people differ"):
        pictures_of(Path("list"), {"Ada": 3, "Bob": 1, "Eve": 2}, album)
    faceless = replace(album, faceless=[("Eve", "f"), ("Ada", "b"), ("Eve", "e")])
    with pytest.raises(DataError, match=r"the album has 1; no face large enough was found in Eve/e, Eve/f; `split"):
        pictures_of(Path("list"), {"Ada": 2, "Eve": 3}, faceless)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1: expected a number of folds"),
        ("2\n1\nAda\t1\n", ":4: expected a number of folds or of people"),
        ("1\n2\nAda\t1\n", ":2: fold 1 should have 2 people"),
        ("2\n1\nAda\t1\n1\nAda\t1\n", ":4: fold 2 should have 1 people, each in no other fold"),
        ("1\n1\nAda\n", ":3: expected NAME and the number"),
    ],
)
def test_broken_folds_of_people_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "people.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        read_people_folds(tmp_path / "people.txt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\nA\t1\t2\n", ":1: expected the number of folds and of pairs"),
        ("1\t1\nA\t1\t2\n", ":1: the first line says 1 folds of 1 pairs of each kind"),
        ("1\t1\nA\t1\t2\nB\t1\t2\n", ":1: the first line says 1 folds of 1 pairs of each kind"),
        ("1\t1\nA\t1\t2\nB\t1\n", ":3: expected NAME, 1, 2"),
    ],
)
def test_broken_folds_of_pairs_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "pairs.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        read_pair_folds(tmp_path / "pairs.txt")


def test_folds_of_lfw_are_consistent(lfw: Path) -> None:
    folds = read_folds(lfw / "people.txt", lfw / "pairs.txt")
    assert [len(people) for people in folds.people][:3] == [601, 555, 552]
    assert [len(pairs) for pairs in folds.pairs] == [600] * 10


def test_broken_pictures_that_were_left_out_count_as_there(tmp_path: Path) -> None:
    keys: list[Key] = [("Ada", "1"), ("Ada", "2"), ("Kurt", "1")]
    album = Album(
        keys=keys,
        pixels=torch.zeros(3, 1, 1, dtype=torch.uint8),
        sha256="",
        preprocessing=PreprocessingConfig(),
        broken={("Kurt", "2"): "Kurt/2.jpg: the file is empty"},
    )
    found = pictures_of(Path("people.txt"), {"Ada": 2, "Kurt": 2}, album)
    assert {name: pictures.tolist() for name, pictures in found.items()} == {"Ada": [0, 1], "Kurt": [2]}
    pairs = read_pairs(write(tmp_path, "Ada\t1.jpg\t2.jpg\nKurt\t1.jpg\t2.jpg\nAda\t1.jpg\tKurt\t1.jpg\n"))
    assert resolve(tmp_path, pairs, album).keys_of(keys) == [(keys[0], keys[1]), (keys[0], keys[2])]
    with pytest.raises(DataError, match="Kurt should have 3 pictures"):
        pictures_of(Path("people.txt"), {"Kurt": 3}, album)
