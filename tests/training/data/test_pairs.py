"""Pair lists: LFW's format and a user's own, mistakes in them, the split, and the facts of LFW's View 1."""

from pathlib import Path

import pytest
import torch

from model.errors import DataError
from training.data.pairs import Key, Pair, PairSet, key_of, name_of, read_pairs, resolve, shared_people, split
from training.reports.reference import is_view_1


def write(folder: Path, text: str) -> Path:
    path = folder / "pairs.txt"
    path.write_text(text, encoding="utf-8")
    return path


def numbered(count: int) -> PairSet:
    """Pairs that can be told apart: pair i is of the pictures i and 1000 + i."""
    numbers = torch.arange(count)
    return PairSet(left=numbers, right=numbers + 1000, same=(numbers % 2).float())


def test_pairs_know_the_keys_of_their_pictures() -> None:
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
def test_a_byte_order_mark_is_no_part_of_the_list(tmp_path: Path, count: str) -> None:
    text = f"{count}Ada\t1\t2\nAda\t1\tKurt\t1\n"
    assert read_pairs(write(tmp_path, f"\ufeff{text}")) == read_pairs(write(tmp_path, text))


def test_a_superscript_digit_is_no_number(tmp_path: Path) -> None:
    (pair,) = read_pairs(write(tmp_path, "Ada\t²\t2\n"))
    assert pair == Pair(left=("Ada", "²"), right=("Ada", "Ada_0002"), line=1)
    with pytest.raises(DataError, match=r":1: expected NAME"):
        read_pairs(write(tmp_path, "²\nAda\t1\t2\n"))


@pytest.mark.parametrize("line", ["Ada 1 2", "Ada\t1", "Ada\t1\tAda\t2", "Ada\t1\tKurt\t2\t3"])
def test_a_line_that_is_no_pair_is_named(tmp_path: Path, line: str) -> None:
    path = write(tmp_path, f"Ada\t1\t2\nAda\t1\t3\n{line}\n")
    with pytest.raises(DataError, match="expected NAME") as caught:
        read_pairs(path)
    assert str(caught.value).startswith(f"{path}:3: ")


@pytest.mark.parametrize("count", [1, 3])
def test_the_announced_count_must_hold(tmp_path: Path, count: int) -> None:
    path = write(tmp_path, f"{count}\nAda\t1\t2\nAda\t1\t3\nAda\t1\tKurt\t1\nAda\t2\tKurt\t1\n")
    with pytest.raises(DataError) as caught:
        read_pairs(path)
    assert str(caught.value) == (f"{path}:1: announces {count} pairs of each kind, but has 2 same and 2 different")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("Ada\t1\t2\nAda\t3\t3\n", r":2: Ada/Ada_0003 is paired with itself"),
        ("Ada\t1\t2\nEve\t1\t2\nAda\t1\t2\n", r":3: is the pair of line 1 again"),
        ("Ada\t1\tEve\t2\n\nEve\t2\tAda\t1\n", r":3: is the pair of line 1 again"),
    ],
)
def test_a_pair_twice_or_of_one_picture_is_refused(tmp_path: Path, lines: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_pairs(write(tmp_path, lines))


@pytest.mark.parametrize("text", ["", "\n\n", "0\n"])
def test_a_list_without_pairs_is_refused(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(DataError, match="has no pairs") as caught:
        read_pairs(path)
    assert str(path) in str(caught.value)


def test_a_list_that_is_absent_or_no_text_is_refused(tmp_path: Path) -> None:
    binary = tmp_path / "binary.txt"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "absent.txt", binary):
        with pytest.raises(DataError, match="cannot be read as a pair list") as caught:
            read_pairs(path)
        assert str(caught.value).startswith(f"{path}: ")


def test_resolve_finds_the_pictures(tmp_path: Path) -> None:
    path = write(tmp_path, "Ada\t1\t2\nAda\t2\tKurt\t1\n")
    index = {("Kurt", "Kurt_0001"): 0, ("Ada", "Ada_0001"): 1, ("Ada", "Ada_0002"): 2}
    pairs = resolve(path, read_pairs(path), index)
    assert pairs.left.tolist() == [1, 2]
    assert pairs.right.tolist() == [2, 0]
    assert pairs.same.tolist() == [1.0, 0.0]
    assert pairs.same.dtype == torch.float32


def test_resolve_names_what_is_missing(tmp_path: Path) -> None:
    path = write(tmp_path, "1\nAda\t1\t2\nAda\t1\tKurt\t9\n")
    index = {("Ada", "Ada_0001"): 0, ("Ada", "Ada_0002"): 1}
    with pytest.raises(DataError) as one:
        resolve(path, read_pairs(path), index)
    assert str(one.value) == f"{path}:3: there is no picture Kurt/Kurt_0009"
    with pytest.raises(DataError) as several:
        resolve(path, read_pairs(path), {("Ada", "Ada_0001"): 0})
    assert str(several.value) == f"{path}:2: there is no picture Ada/Ada_0002, and 1 more"
    with pytest.raises(DataError) as faceless:
        resolve(path, read_pairs(path), index, [("Kurt", "Kurt_0009")])
    assert str(faceless.value) == f"{path}:3: no face large enough was found in Kurt/Kurt_0009"


@pytest.mark.parametrize(("count", "fraction", "held_out"), [(2200, 0.2, 440), (12, 0.25, 3), (10, 0.2, 2)])
def test_split_takes_every_pair_once(count: int, fraction: float, held_out: int) -> None:
    training, validation = split(numbered(count), fraction, 0)
    assert (len(training), len(validation)) == (count - held_out, held_out)
    assert sorted(training.left.tolist() + validation.left.tolist()) == list(range(count))
    for part in (training, validation):
        assert (part.right - part.left).unique().tolist() == [1000]
        assert part.same.tolist() == [float(number % 2) for number in part.left.tolist()]


def test_split_depends_on_the_seed_alone() -> None:
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
def test_shared_people_counts_as_a_slow_loop_does(seed: int) -> None:
    draws = torch.Generator().manual_seed(seed)
    keys = [(f"Person_{i // 2}", f"{i}") for i in range(100)]
    left, right = torch.randint(100, (2, 20), generator=draws)
    training, validation = split(PairSet(left=left, right=right, same=torch.zeros(20)), 0.5, seed)
    expected = shared_slowly(training, validation, keys)
    assert 0 < expected < len(validation)
    assert shared_people(training, validation, keys) == expected


def test_view_1_of_lfw_is_as_published(lfw: Path) -> None:
    rows = [line.split("\t") for line in (lfw / "lfw-names.txt").read_text(encoding="utf-8").splitlines()]
    keys = [(name, f"{name}_{number:04d}") for name, count in rows for number in range(1, int(count) + 1)]
    index = {key: number for number, key in enumerate(keys)}
    train_path, test_path = lfw / "pairsDevTrain.txt", lfw / "pairsDevTest.txt"
    pairs, test = (resolve(path, read_pairs(path), index) for path in (train_path, test_path))
    assert (len(pairs), int(pairs.same.sum())) == (2200, 1100)
    assert (len(test), int(test.same.sum())) == (1000, 500)
    names = [(name_of(left), name_of(right)) for left, right in test.keys_of(keys)]
    assert is_view_1(names)
    assert not is_view_1(names[1:])
    training, validation = split(pairs, 0.2, 0)
    assert (len(training), len(validation)) == (1760, 440)
    assert shared_people(training, validation, keys) == shared_slowly(training, validation, keys)
    assert shared_people(pairs, test, keys) == 0
