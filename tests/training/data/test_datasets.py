"""What is held out, by pairs or by people, the pairs that people make, and the facts of LFW's View 1."""

from itertools import combinations
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.errors import DataError
from model.imaging.preprocessing import PreprocessingConfig
from training.data import datasets
from training.data.album import Album, Key, PairSet, name_of, owners
from training.data.datasets import (
    HoldOut,
    PeopleData,
    balanced_pairs,
    count_impostor_pairs,
    hold_out,
    impostor_pairs,
    shared_people,
    split,
)
from training.data.lists import read_pairs, read_people, resolve
from training.reports.literature import is_view_1

PICTURES = (1, 1, 2, 5, 40, 120, 1, 3, 2, 1, 4, 2)


def numbered(count: int) -> PairSet:
    """Pairs that can be told apart: pair i is of the pictures i and 1000 + i."""
    numbers = torch.arange(count)
    return PairSet(left=numbers, right=numbers + 1000, same=(numbers % 2).float())


def crowd() -> dict[str, Tensor]:
    """Twelve people, their pictures numbered through."""
    firsts = [sum(PICTURES[:i]) for i in range(len(PICTURES))]
    return {
        f"Person_{i:02d}": torch.arange(first, first + n)
        for i, (first, n) in enumerate(zip(firsts, PICTURES, strict=True))
    }


@pytest.mark.parametrize(("count", "fraction", "held_out"), [(2200, 0.2, 440), (12, 0.25, 3), (10, 0.2, 2)])
def test_split_takes_every_pair_once(count: int, fraction: float, held_out: int) -> None:
    training, validation = split(numbered(count), fraction, 0)
    assert (len(training), len(validation)) == (count - held_out, held_out)
    assert sorted(training.left.tolist() + validation.left.tolist()) == list(range(count))
    for part in (training, validation):
        assert (part.right - part.left).unique().tolist() == [1000]
        assert part.same.tolist() == [float(number % 2) for number in part.left.tolist()]


def test_split_depends_only_on_the_seed() -> None:
    torch.manual_seed(1)
    first = split(numbered(100), 0.2, 5)[1].left.tolist()
    torch.manual_seed(2)
    assert split(numbered(100), 0.2, 5)[1].left.tolist() == first
    assert split(numbered(100), 0.2, 6)[1].left.tolist() != first
    assert first != sorted(first)


def shared_slowly(training: PairSet, validation: PairSet, keys: list[Key]) -> int:
    count = 0
    for v in range(len(validation)):
        shown = {keys[int(validation.left[v])][0], keys[int(validation.right[v])][0]}
        if any(
            keys[int(side[t])][0] in shown for t in range(len(training)) for side in (training.left, training.right)
        ):
            count += 1
    return count


@pytest.mark.parametrize("seed", range(5))
def test_shared_people_equals_a_slow_loop(seed: int) -> None:
    draws = torch.Generator().manual_seed(seed)
    keys = [(f"Person_{i // 2}", f"{i}") for i in range(100)]
    left, right = torch.randint(100, (2, 20), generator=draws)
    training, validation = split(PairSet(left=left, right=right, same=torch.zeros(20)), 0.5, seed)
    expected = shared_slowly(training, validation, keys)
    assert 0 < expected < len(validation)
    assert shared_people(training, validation, keys) == expected


def test_hold_out_puts_every_person_on_one_side() -> None:
    training, held = hold_out(crowd(), HoldOut(fraction=0.25))
    assert len(held) == 3
    assert not training.keys() & held.keys()
    assert training.keys() | held.keys() == crowd().keys()


def test_people_with_many_pictures_stay_in_training() -> None:
    for seed in range(20):
        training, held = hold_out(crowd(), HoldOut(fraction=0.5, most_pictures=39, seed=seed))
        assert {"Person_04", "Person_05"} <= training.keys()
        assert len(held) == 6


@pytest.mark.parametrize(("people", "pictures"), [(1, 2), (3, 2), (9, 2), (10, 101)])
def test_nobody_to_hold_out_is_said_in_one_line(people: int, pictures: int) -> None:
    """Fewer than two people, since so few are listed or all have too many pictures."""
    few = {f"P{person}": pictures for person in range(people)}
    with pytest.raises(DataError, match=rf"list: [01] of {people} people can be held out .*; add people$"):
        PeopleData.of(black_album(few), Path("list"), few, HoldOut())
    enough = few | {f"Q{person}": 2 for person in range(20)}
    assert len(PeopleData.of(black_album(enough), Path("list"), enough, HoldOut()).held_out) >= 3


def black_album(counts: dict[str, int]) -> Album:
    keys = [(name, f"{number}") for name, count in counts.items() for number in range(count)]
    pixels = torch.zeros(len(keys), 1, 1, dtype=torch.uint8)
    return Album(keys=keys, pixels=pixels, sha256="", preprocessing=PreprocessingConfig())


def test_hold_out_depends_only_on_the_seed() -> None:
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


def test_pairs_are_balanced_and_limited_per_person() -> None:
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


def test_impostor_pairs_have_the_numbers_of_their_order() -> None:
    left, right = impostor_pairs(crowd())
    assert count_impostor_pairs(crowd()) == len(left)
    numbers = torch.tensor([0, len(left) - 1, 17, 17, 4000])
    some = impostor_pairs(crowd(), numbers)
    assert (some[0].tolist(), some[1].tolist()) == (left[numbers].tolist(), right[numbers].tolist())


def balanced_slowly(people: dict[str, Tensor], rule: HoldOut) -> list[tuple[int, int]]:
    """All pairs are listed, and some are drawn from a permutation."""
    draws, found = torch.Generator().manual_seed(rule.seed), []
    for name in sorted(people):
        pairs = list(combinations(people[name].tolist(), 2))
        found += [pairs[i] for i in torch.randperm(len(pairs), generator=draws)[: rule.pairs_of_a_person].tolist()]
    owner = {picture: name for name, pictures in people.items() for picture in pictures.tolist()}
    order = [picture for name in sorted(people) for picture in people[name].tolist()]
    impostors = [(a, b) for a, b in combinations(order, 2) if owner[a] != owner[b]]
    chosen = torch.randperm(len(impostors), generator=draws)[: len(found)]
    return found + [impostors[i] for i in chosen.tolist()]


@pytest.mark.parametrize("seed", range(3))
def test_balanced_pairs_equal_a_slow_list(seed: int) -> None:
    rule = HoldOut(pairs_of_a_person=7, seed=seed)
    pairs = balanced_pairs(crowd(), rule)
    assert list(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)) == balanced_slowly(crowd(), rule)


def test_pairs_of_many_people_are_drawn_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a list of all pairs: each once, of the right kind, and all equally likely."""
    monkeypatch.setattr(datasets, "MOST_PERMUTED", 0)
    people = {"A": torch.arange(4), "B": torch.arange(4, 7), "C": torch.arange(7, 9)}
    every = set(zip(*(side.tolist() for side in impostor_pairs(people)), strict=True))
    counts = dict.fromkeys(every, 0)
    for seed in range(600):
        pairs = balanced_pairs(people, HoldOut(pairs_of_a_person=2, seed=seed))
        drawn = list(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))
        assert len(drawn) == len(set(drawn)) == 10
        assert all((a, b) not in every for a, b in drawn[:5])
        for pair in drawn[5:]:
            counts[pair] += 1
    expected = 600 * 5 / len(every)
    assert all(abs(count - expected) < 5 * expected**0.5 for count in counts.values())


def test_people_of_half_a_million_pictures_have_pairs_at_once() -> None:
    """Of 2.8 thousand million impostor pairs, of which a list would take 45 GB."""
    people = {f"{i:05d}": torch.arange(50 * i, 50 * i + 50) for i in range(1500)}
    pairs = balanced_pairs(people, HoldOut())
    assert (len(pairs), int(pairs.same.sum())) == (45_000, 22_500)
    assert ((pairs.left // 50 == pairs.right // 50) == pairs.same.bool()).all()
    strangers = pairs[~pairs.same.bool()]
    assert strangers.left.double().mean() == pytest.approx(25_000, rel=0.02)
    assert strangers.right.double().mean() == pytest.approx(50_000, rel=0.02)
    assert len(torch.stack([pairs.left, pairs.right]).unique(dim=1).T) == 45_000


def test_people_with_one_picture_make_no_pairs() -> None:
    assert len(balanced_pairs({"A": torch.tensor([0]), "B": torch.tensor([1])}, HoldOut())) == 0


def test_sizes_of_view_1(lfw: Path) -> None:
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


def test_view_1_of_lfw_is_as_published(lfw: Path) -> None:
    rows = [line.split("\t") for line in (lfw / "lfw-names.txt").read_text(encoding="utf-8").splitlines()]
    keys = [(name, f"{name}_{number:04d}") for name, count in rows for number in range(1, int(count) + 1)]
    pixels = torch.zeros(len(keys), 1, 1, dtype=torch.uint8)
    album = Album(keys=keys, pixels=pixels, sha256="", preprocessing=PreprocessingConfig())
    train_path, test_path = lfw / "pairsDevTrain.txt", lfw / "pairsDevTest.txt"
    pairs, test = (resolve(path, read_pairs(path), album) for path in (train_path, test_path))
    assert (len(pairs), int(pairs.same.sum())) == (2200, 1100)
    assert (len(test), int(test.same.sum())) == (1000, 500)
    names = [(name_of(left), name_of(right)) for left, right in test.keys_of(keys)]
    assert is_view_1(names)
    assert not is_view_1(names[1:])
    training, validation = split(pairs, 0.2, 0)
    assert (len(training), len(validation)) == (1760, 440)
    assert shared_people(training, validation, keys) == shared_slowly(training, validation, keys)
    assert shared_people(pairs, test, keys) == 0
