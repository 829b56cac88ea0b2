"""A folder of people without lists: who trains and who is tested, the pairs made of them, and the lists of both."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model.errors import DataError
from model.imaging.preprocessing import PreprocessingConfig
from tests.training.support.small_people import SMALL_PEOPLE, draw_people
from training.data.album import Album, Key
from training.data.division import divide, draw_pairs, format_pairs, format_people
from training.data.lists import read_pairs, read_people, resolve
from training.data.source import LFW, NAMES, DataSource

NAMES_OF_MANY = [f"Person {number}" for number in range(2000)]


def album_of(keys: list[Key], broken: dict[Key, str] | None = None) -> Album:
    pixels = torch.zeros(len(keys), 1, 1, dtype=torch.uint8)
    return Album(keys=keys, pixels=pixels, sha256="", preprocessing=PreprocessingConfig(), broken=broken or {})


def test_everybody_is_on_one_side_and_the_share_is_tested() -> None:
    sides = divide(NAMES_OF_MANY, 0.15)
    assert sides.train | sides.test == set(NAMES_OF_MANY)
    assert not sides.train & sides.test
    assert 0.12 * 2000 < len(sides.test) < 0.18 * 2000


def test_people_who_are_added_move_nobody() -> None:
    before, after = divide(NAMES_OF_MANY[:1000]), divide(reversed(NAMES_OF_MANY))
    assert before.test == after.test & set(NAMES_OF_MANY[:1000])


def test_another_seed_tests_others_and_a_larger_share_more() -> None:
    one, again, other = (divide(NAMES_OF_MANY, 0.2, seed).test for seed in (0, 0, 1))
    assert one == again != other
    assert one < divide(NAMES_OF_MANY, 0.3).test


def test_lists_are_read_as_they_were_written(tmp_path: Path) -> None:
    keys: list[Key] = [("Ada", "1"), ("Ada", "a.b"), ("Ada", "x.jpg"), ("Zoë", "1"), ("Zoë", "Zoë_0002")]
    files = dict(zip(keys, ["1.png", "a.b.jpg", "x.jpg.webp", "1.HEIC", "Zoë_0002.jpg"], strict=True))
    album = album_of(keys)
    pairs = draw_pairs({"Ada", "Zoë"}, album)
    assert len(pairs) == 2 * (3 + 1)
    path = tmp_path / "pairs.txt"
    path.write_text(format_pairs(pairs, keys, files), encoding="utf-8")
    found = resolve(path, read_pairs(path), album)
    wanted = sorted(zip(pairs.left.tolist(), pairs.right.tolist(), pairs.same.tolist(), strict=True))
    assert sorted(zip(found.left.tolist(), found.right.tolist(), found.same.tolist(), strict=True)) == wanted
    path.write_text(format_people({"Ada": 3, "Zoë": 2}), encoding="utf-8")
    assert read_people(path) == {"Ada": 3, "Zoë": 2}


def test_list_with_fewer_impostor_than_genuine_pairs_has_no_count(tmp_path: Path) -> None:
    keys: list[Key] = [("Ada", str(number)) for number in range(6)] + [("Kurt", "1")]
    pairs = draw_pairs({"Ada", "Kurt"}, album_of(keys))
    assert (int(pairs.same.sum()), len(pairs)) == (15, 21)
    path = tmp_path / "pairs.txt"
    path.write_text(format_pairs(pairs, keys, {key: f"{key[1]}.png" for key in keys}))
    assert len(read_pairs(path)) == 21


@pytest.mark.parametrize("name", ["Ada\tByron", "Ada\nByron", " Ada", "Ada ", "Ada\u2028Byron"])
def test_name_that_a_list_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="cannot be written into a list; rename it"):
        format_people({name: 1})
    keys: list[Key] = [(name, "1"), (name, "2")]
    with pytest.raises(DataError, match="cannot be written into a list; rename it"):
        format_pairs(draw_pairs([name], album_of(keys)), keys, {key: f"{key[1]}.png" for key in keys})


@pytest.fixture
def plain(tmp_path: Path) -> DataSource:
    """Ten drawn people in a folder without lists; two are tested, one of them with several pictures."""
    draw_people(tmp_path)
    for folder in list((tmp_path / "people").iterdir()):
        folder.rename(folder.with_name(folder.name.replace("Person_", "Somebody ")))
    return DataSource(
        folder=tmp_path / "people",
        cache=tmp_path / "cache",
        images=".",
        train_pairs=NAMES["train_pairs"][0],
        train_people=NAMES["train_people"][0],
        test_pairs=NAMES["test_pairs"][0],
    )


def test_people_of_a_folder_without_lists_are_divided_by_their_names(plain: DataSource) -> None:
    album = plain.album(SMALL_PEOPLE.preprocessing)
    train, test = plain.people("train_people", album), plain.people("test_people", album)
    sides = divide({name for name, _ in album.keys})
    assert set(train) == sides.train
    assert set(test) == sides.test
    assert sides.test == {"Somebody 3", "Somebody 8"}
    assert train == {name: sum(key[0] == name for key in album.keys) for name in sides.train}
    assert plain.people("train_people") == train
    tested = {name for pair in plain.pairs_of("test_pairs", album).keys_of(album.keys) for name, _ in pair}
    trained = {name for pair in plain.pairs_of("train_pairs", album).keys_of(album.keys) for name, _ in pair}
    assert tested <= sides.test
    assert trained <= sides.train
    data = plain.people_data(album, SMALL_PEOPLE.held_out)
    assert data.training.keys() | data.held_out.keys() == sides.train
    assert plain.describe_list("test_pairs") == "test people of people"


@pytest.mark.parametrize("own", [False, True])
def test_lists_take_precedence_and_exclude_their_people_from_the_other_side(plain: DataSource, own: bool) -> None:
    album, name = plain.album(SMALL_PEOPLE.preprocessing), "mine.txt" if own else "train-people.txt"
    (plain.folder / name).write_text("Somebody 0\t3\nSomebody 2\t4\n")
    source = replace(plain, train_people=name) if own else plain
    assert source.people("train_people", album) == {"Somebody 0": 3, "Somebody 2": 4}
    assert source.people("test_people", album).keys() == {f"Somebody {number}" for number in (1, 3, 4, 5, 6, 7, 8, 9)}
    assert {key[0] for pair in source.pairs_of("train_pairs", album).keys_of(album.keys) for key in pair} == {
        "Somebody 0", "Somebody 2"
    }  # fmt: skip


def test_people_of_a_list_of_test_pairs_are_not_trained_on(plain: DataSource) -> None:
    album = plain.album(SMALL_PEOPLE.preprocessing)
    pairs = ["Somebody 7\tPerson_7_0001\tPerson_7_0002", "Somebody 7\tPerson_7_0001\tSomebody 3\tPerson_3_0001"]
    (plain.folder / "test-pairs.txt").write_text("\n".join(pairs))
    assert plain.people("train_people", album).keys() == {f"Somebody {number}" for number in (0, 1, 2, 4, 5, 6, 8, 9)}


def test_lfw_without_its_lists_is_not_divided(plain: DataSource) -> None:
    """Its test people would be trained on."""
    plain.folder.rename(plain.folder.parent / LFW)
    source = replace(plain, folder=plain.folder.parent, images=LFW)
    with pytest.raises(DataError, match=r"peopleDevTrain\.txt: cannot be read as a list of people"):
        source.people("train_people")


def test_list_that_was_named_must_be_there(plain: DataSource) -> None:
    with pytest.raises(DataError, match=r"absent\.txt: cannot be read as a list of people"):
        replace(plain, train_people="absent.txt").people("train_people")


def test_pictures_of_hidden_folders_are_nobodys(plain: DataSource) -> None:
    (plain.folder / ".thumbnails").mkdir()
    (plain.folder / "Somebody 0" / "Person_0_0001.png").rename(plain.folder / ".thumbnails" / "1.png")
    assert len(plain.file_names()) == len(plain.album(SMALL_PEOPLE.preprocessing).keys) == 24


def test_first_pictures_are_the_first_by_name(plain: DataSource) -> None:
    found = plain.first_pictures(["Somebody 3", "Nobody", "Somebody 0"])
    assert found == [("Somebody 3", "Person_3_0001"), ("Somebody 0", "Person_0_0001")]
