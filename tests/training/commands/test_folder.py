"""From a folder of people, without any list, to a checkpoint that the service loads; `split`, and what is warned of."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from app.server.replica import open_verifier
from app.settings import SHIPPED, read_settings
from tests.faces import scene
from tests.training.support.small_conditions import SMALL_FACES
from tests.training.support.small_faces import draw_faces
from training.__main__ import main
from training.data.division import divide
from training.data.lists import read_pairs, read_people
from training.learning.experiments import EXPERIMENTS

# Two of them are tested by their names, one of them with several pictures.
EVERYBODY = [f"Somebody {number}" for number in range(10)]
TESTED = {"Somebody 3", "Somebody 8"}


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten drawn people in a folder that holds nothing else; the small experiment may be named."""
    monkeypatch.setitem(EXPERIMENTS, "small-faces", replace(SMALL_FACES, name="small-faces", epochs=1))
    monkeypatch.chdir(tmp_path)
    draw_faces(tmp_path / "drawn")
    shutil.move(tmp_path / "drawn" / "people", tmp_path / "photos")
    for folder in list((tmp_path / "photos").iterdir()):
        folder.rename(folder.with_name(folder.name.replace("Person_", "Somebody ")))
    return tmp_path / "photos"


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(arguments) == 1
    line: str = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: ")
    return line


def test_a_folder_is_enough_for_a_checkpoint_that_is_served(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert photos.is_dir()
    assert main(["run", "small-faces", "--data", "photos", "--device", "cpu", "--out", "run"]) == 0
    shown = capsys.readouterr()
    assert "6 test pairs of test people of photos, who are not trained on" in shown.out
    assert shown.err.count("warning: only ") == 2
    checkpoint = Path("run/small-faces.safetensors")
    verifier = open_verifier(read_settings({"weights": checkpoint, "device": "cpu"}, environment={}))
    assert verifier.header.operating_points == ()  # too few held-out people
    assert {metric.split for metric in verifier.header.metrics} == {"validation", "test"}
    rows = list(csv.DictReader(Path("run/test-scores.csv").read_text().splitlines()))
    assert {row[side].split("/")[0] for row in rows for side in ("left", "right")} == TESTED
    assert main(["evaluate", str(checkpoint), "--data", "photos", "--device", "cpu"]) == 0
    assert " on test people of photos of photos" in capsys.readouterr().out


def test_commands_on_a_checkpoint_find_its_people_without_lists(photos: Path) -> None:
    assert main(["run", "small-faces", "--data", "photos", "--no-test", "--device", "cpu", "--out", "run"]) == 0
    checkpoint = Path("run/small-faces.safetensors")
    assert main(["elsewhere", str(checkpoint), "--held-out", "--data", "photos", "--keep-alike"]) == 0
    (photos / "Somebody new").mkdir()
    shutil.copy(photos / "Somebody 0" / "Person_0_0001.png", photos / "Somebody new")
    assert main(["elsewhere", str(checkpoint), "--held-out", "--data", "photos", "--keep-alike"]) == 1


def test_calibrate_takes_the_folder_itself(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert photos.is_dir()
    assert main(["calibrate", str(SHIPPED), "--data", "photos", "--keep-alike", "--out", "mine.safetensors"]) == 0
    assert "25 pictures of 10 people" in capsys.readouterr().out
    line = refusal(capsys, "calibrate", str(SHIPPED), "--data", "photos", "--skip-missing", "--out", "new.safetensors")
    assert line.startswith("error: --skip-missing: does nothing without --pairs; add it, or leave out --skip-missing")


def test_split_writes_the_division_that_commands_make_without_lists(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", "photos", "--keep-alike"]
    assert main(["split", "small-faces", *arguments]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "8 people to train on with 21 pictures, 6 of them with several",
        "2 people to test on with 4 pictures, 1 of them with several",
        "wrote train-people.txt, train-pairs.txt, test-people.txt, test-pairs.txt into photos",
    ]
    assert read_people(photos / "test-people.txt") == {"Somebody 3": 3, "Somebody 8": 1}
    assert read_people(photos / "train-people.txt").keys() == set(EVERYBODY) - TESTED
    shown = {name for pair in read_pairs(photos / "test-pairs.txt") for name, _ in (pair.left, pair.right)}
    assert shown == TESTED
    assert main(["prepare", "small-faces", "--data", "photos"]) == 0
    with_lists = capsys.readouterr().out.splitlines()
    line = refusal(capsys, "split", "small-faces", *arguments)
    assert line.startswith("error: photos/train-people.txt: exists; add --replace to write over the lists, or choose")
    assert main(["split", "small-faces", *arguments, "--replace", "--seed", "4"]) == 0
    assert read_people(photos / "test-people.txt").keys() == divide(EVERYBODY, seed=4).test
    for path in photos.glob("*.txt"):
        path.unlink()
    capsys.readouterr()
    assert main(["prepare", "small-faces", "--data", "photos"]) == 0
    without = capsys.readouterr().out.splitlines()
    assert with_lists[-1] == without[-1].replace("test people of photos", "test-pairs.txt")
    assert with_lists[:-1] == without[:-1]


def test_test_pairs_of_a_list_are_found_in_a_relative_folder(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert photos.is_dir()
    data = ["--data", "photos", "--device", "cpu"]
    assert main(["split", "small-faces", "--data", "photos", "--keep-alike"]) == 0
    assert main(["run", "small-faces", *data, "--out", "run"]) == 0
    checkpoint = "run/small-faces.safetensors"
    capsys.readouterr()
    for more in ([], ["--skip-missing"]):
        assert main(["evaluate", checkpoint, *data, *more]) == 0
        assert " on test-pairs.txt of photos" in capsys.readouterr().out
    pairs = ["--pairs", "test-pairs.txt", "--keep-alike"]
    assert "impostor pairs, and there are 3" in refusal(
        capsys, "calibrate", checkpoint, *data, *pairs, "--out", "mine.safetensors"
    )


def test_split_leaves_out_broken_and_faceless_pictures(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "Somebody 0" / "cut.jpg").write_bytes(b"")
    scene(size=(250, 250)).save(photos / "Somebody 0" / "wall.png")
    arguments = ["split", "small-faces", "--data", "photos", "--keep-alike"]
    assert "leave them out by --skip-broken: Somebody 0/cut.jpg: " in refusal(capsys, *arguments)
    assert main([*arguments, "--skip-broken"]) == 0
    shown = capsys.readouterr().out
    assert "left out by --skip-broken: Somebody 0/cut.jpg: " in shown
    assert "left out, because no face large enough was found: Somebody 0/wall" in shown
    assert read_people(photos / "train-people.txt")["Somebody 0"] == 3


def test_split_refuses_what_it_cannot_divide(photos: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["split", "small-faces", "--data", "photos", "--keep-alike"]
    assert "all 10 people would be on one side; add people, or choose another --test or --seed" in refusal(
        capsys, *arguments, "--test", "0.01"
    )
    for other in sorted((photos / "Somebody 3").iterdir())[1:]:
        other.rename(photos / "Somebody 0" / f"moved_{other.name}")
    assert "photos: none of 2 people of test-people.txt has two pictures, so they give no genuine pair" in refusal(
        capsys, *arguments
    )
    data = (photos / "Somebody 0" / "Person_0_0001.png").read_bytes()
    (photos / "Somebody 1" / "forwarded.png").write_bytes(data)
    line = refusal(capsys, "split", "small-faces", "--data", "photos")
    assert "look like copies under two names, so that one of each has a wrong name" in line
    (photos / "pairsDevTest.txt").write_text("")
    assert "pairsDevTest.txt: would be read instead of the new lists" in refusal(capsys, *arguments)
    (tmp_path / "lfw" / "lfw-deepfunneled").mkdir(parents=True)
    assert "holds LFW, whose own lists divide its people" in refusal(capsys, "split", "--data", "lfw")
    assert list(photos.glob("*people.txt")) == []


@pytest.mark.parametrize("people", [1, 2, 3])
def test_too_few_people_are_an_error_of_one_line(photos: Path, capsys: pytest.CaptureFixture[str], people: int) -> None:
    for name in EVERYBODY[people:]:
        shutil.rmtree(photos / name)
    line = refusal(capsys, "run", "small-faces", "--data", "photos", "--device", "cpu", "--out", "run")
    assert "people can be held out for the thresholds" in line or "genuine and impostor pairs" in line
    assert not Path("run").exists()


def test_one_picture_of_each_person_is_an_error_that_names_calibrate(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in photos.iterdir():
        for path in sorted(folder.iterdir())[1:]:
            path.unlink()
    line = refusal(capsys, "run", "small-faces", "--data", "photos", "--device", "cpu", "--out", "run")
    assert "held out for the thresholds has one picture; add pictures of people who have one already, or cal" in line


def copies_said(shown: str, where: str) -> int:
    """The number of pairs that are said to look like copies; some of the drawn people's pictures do."""
    lines = [line for line in shown.splitlines() if f" pairs of pictures look like copies under {where}" in line]
    return sum(int(line.removeprefix("warning: ").split()[0]) for line in lines)


def test_run_says_which_pictures_were_saved_again(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "small-faces", "--data", "photos", "--no-test"]) == 0
    before = "".join(capsys.readouterr())
    image = Image.open(photos / "Somebody 2" / "Person_2_0001.png").convert("RGB")
    image.save(photos / "Somebody 2" / "again.jpg", quality=60)
    image.save(photos / "Somebody 7" / "forwarded.jpg", quality=60)
    assert main(["run", "small-faces", "--data", "photos", "--no-test", "--device", "cpu", "--out", "run"]) == 0
    after = "".join(capsys.readouterr())
    for where in ("two names", "one name"):
        assert copies_said(after, where) > copies_said(before, where)
