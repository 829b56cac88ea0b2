"""Lists of people, who is held out, and the pairs that they make; the facts of LFW's View 1."""

from itertools import combinations
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.errors import DataError
from training.data.people import (
    HoldOut,
    balanced_pairs,
    hold_out,
    impostor_pairs,
    owners,
    pictures_of,
    read_people,
)

PICTURES = (1, 1, 2, 5, 40, 120, 1, 3, 2, 1, 4, 2)


def crowd() -> dict[str, Tensor]:
    """Twelve people, their pictures numbered through."""
    firsts = [sum(PICTURES[:i]) for i in range(len(PICTURES))]
    return {
        f"Person_{i:02d}": torch.arange(first, first + n)
        for i, (first, n) in enumerate(zip(firsts, PICTURES, strict=True))
    }


def write(folder: Path, text: str) -> Path:
    path = folder / "people.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_reads_the_format_of_lfw(tmp_path: Path) -> None:
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
        ("Ada\t1\nKurt\t1\nAda\t1\n", ":3: Ada is on the list twice"),
        ("3\nAda\t1\n", ":1: announces 3 people, but has 1"),
        ("", ": the list has no people"),
        ("0\n", ": the list has no people"),
    ],
)
def test_a_list_that_is_none_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(DataError) as caught:
        read_people(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_an_absent_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read as a list of people"):
        read_people(tmp_path / "people.txt")


def test_pictures_are_found_and_counted() -> None:
    keys = [("Ada", "a"), ("Bob", "b"), ("Ada", "c"), ("Eve", "d")]
    found = pictures_of(Path("list"), {"Ada": 2, "Eve": 1}, keys)
    assert {name: indices.tolist() for name, indices in found.items()} == {"Ada": [0, 2], "Eve": [3]}
    with pytest.raises(DataError, match="list: Eve should have 2 pictures, but the album has 1"):
        pictures_of(Path("list"), {"Ada": 2, "Eve": 2}, keys)
    with pytest.raises(DataError, match="Ada should have 3 pictures, but the album has 2; 1 more people differ"):
        pictures_of(Path("list"), {"Ada": 3, "Bob": 1, "Eve": 2}, keys)
    with pytest.raises(DataError, match=r"the album has 1; no face large enough was found in Eve/e, Eve/f$"):
        pictures_of(Path("list"), {"Ada": 2, "Eve": 3}, keys, [("Eve", "f"), ("Ada", "b"), ("Eve", "e")])


def test_nobody_is_on_both_sides_and_nobody_is_lost() -> None:
    training, held = hold_out(crowd(), HoldOut(fraction=0.25))
    assert len(held) == 3
    assert not training.keys() & held.keys()
    assert training.keys() | held.keys() == crowd().keys()


def test_whoever_has_many_pictures_stays_in_training() -> None:
    for seed in range(20):
        training, held = hold_out(crowd(), HoldOut(fraction=0.5, most_pictures=39, seed=seed))
        assert {"Person_04", "Person_05"} <= training.keys()
        assert len(held) == 6


def test_the_split_depends_on_its_seed_alone() -> None:
    one, again, other = (hold_out(crowd(), HoldOut(fraction=0.5, seed=seed))[1].keys() for seed in (3, 3, 4))
    assert one == again != other
    turned = dict(reversed(crowd().items()))
    assert hold_out(turned, HoldOut(fraction=0.5, seed=3))[1].keys() == one


def test_impostor_pairs_equal_a_slow_loop() -> None:
    owner = {picture: name for name, pictures in crowd().items() for picture in pictures.tolist()}
    wanted = {(a, b) for a, b in combinations(sorted(owner), 2) if owner[a] != owner[b]}
    left, right = impostor_pairs(crowd())
    found = [tuple(sorted(pair)) for pair in zip(left.tolist(), right.tolist(), strict=True)]
    assert len(found) == len(set(found))
    assert set(found) == wanted


def test_owners_number_people_by_name() -> None:
    pictures, people = owners({"B": torch.tensor([5, 7]), "A": torch.tensor([9])})
    assert (pictures.tolist(), people.tolist()) == ([9, 5, 7], [0, 1, 1])


def test_pairs_are_balanced_and_one_person_has_no_more_than_their_share() -> None:
    pairs = balanced_pairs(crowd(), HoldOut(pairs_of_a_person=4))
    owner = {picture: name for name, pictures in crowd().items() for picture in pictures.tolist()}
    same = [owner[a] for a, b in zip(pairs.left.tolist(), pairs.right.tolist(), strict=True) if owner[a] == owner[b]]
    counts = {name: same.count(name) for name in crowd()}
    assert counts == {name: min(4, len(p) * (len(p) - 1) // 2) for name, p in crowd().items()}
    assert int(pairs.same.sum()) == len(same) == len(pairs) - len(same)
    drawn = {frozenset(pair) for pair in zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)}
    assert len(drawn) == len(pairs)
    labels = [float(owner[a] == owner[b]) for a, b in zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)]
    assert pairs.same.tolist() == labels


def test_people_with_one_picture_make_no_pairs() -> None:
    assert len(balanced_pairs({"A": torch.tensor([0]), "B": torch.tensor([1])}, HoldOut())) == 0


def test_the_facts_of_view_1(lfw: Path) -> None:
    people = read_people(lfw / "peopleDevTrain.txt")
    assert (len(people), sum(people.values())) == (4038, 9525)
    assert sum(count > 1 for count in people.values()) == 1184
    assert people["George_W_Bush"] == 530
    assert not people.keys() & read_people(lfw / "peopleDevTest.txt").keys()
    firsts = torch.tensor([0, *people.values()]).cumsum(0).tolist()
    numbered = {name: torch.arange(a, b) for name, a, b in zip(people, firsts[:-1], firsts[1:], strict=True)}
    training, held = hold_out(numbered, HoldOut())
    assert (len(training), len(held)) == (3432, 606)
    assert max(len(pictures) for pictures in held.values()) <= 100
    assert "George_W_Bush" in training
    assert len(balanced_pairs(held, HoldOut())) == 1702
    assert len(impostor_pairs(held)[0]) == 759_971
