"""`python -m training embed`: a folder of photographs into one file, with the answers of the service."""

import csv
import hashlib
import json
import os
from errno import EACCES
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.checkpoint import load
from model.errors import DataError, UnreadableFile
from model.files import alone_in
from tests.training.bulk.conftest import pictures
from tests.training.learning.test_full_disk import no_file_larger_than
from training.__main__ import main
from training.bulk import embedding, parts
from training.bulk.image_files import ImageEmbedder, read_file
from training.bulk.listing import Listing
from training.bulk.outputs import writing_table

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts of two files each, one after the other: processes are tested by test_workers.py."""
    monkeypatch.setattr(embedding, "run_tasks", lambda open_work, tasks, *_: map(open_work(), tasks))
    monkeypatch.setattr("training.bulk.listing.PART_FILES", 2)


def command(source: Path, weights: Path, out: Path, *further: str, name: str = "embed") -> list[str]:
    return [name, str(source), "--weights", str(weights), "--out", str(out), *further]


def embed(source: Path, weights: Path, out: Path, *further: str) -> list[dict[str, Any]]:
    assert main(command(source, weights, out, *further)) == 0
    rows: list[dict[str, Any]] = pq.read_table(out).to_pylist() if out.suffix == ".parquet" else []
    return rows


def problems(out: Path) -> dict[str, tuple[str, str]]:
    with out.with_name(f"{out.stem}.problems.csv").open(newline="") as file:
        return {row["path"]: (row["code"], row["detail"]) for row in csv.DictReader(file)}


@pytest.mark.parametrize("face", ["largest", "all", "only", "none"])
async def test_rows_and_problems_are_the_answers_of_the_service(
    aligned_client: httpx.AsyncClient, aligned_checkpoint_path: Path, photographs: Path, tmp_path: Path, face: str
) -> None:
    out = tmp_path / "out.parquet"
    rows = embed(photographs, aligned_checkpoint_path, out, "--face", face)
    listed = [name for name in Listing.of(photographs).names if name in {row["path"] for row in rows}]
    assert list(dict.fromkeys(row["path"] for row in rows)) == listed
    refused = problems(out)
    assert ("bad/far.png" in refused) == (face != "none")
    assert {row["path"] for row in rows} | refused.keys() == pictures().keys()
    assert len(rows) >= (2 if face == "only" else 5)
    for name, data in pictures().items():
        answer = await aligned_client.post("/v1/embed", files={"image": data}, data={"face": face})
        found = [row for row in rows if row["path"] == name]
        if answer.status_code != 200:
            assert refused[name] == (answer.json()["code"], answer.json()["detail"])
            assert not found
            continue
        image, served = answer.json()["images"][0], answer.json()["data"]
        assert served or refused[name][0] == "face_too_small"
        assert [row["face"] for row in found] == [each["face"] for each in served]
        for row, each in zip(found, served, strict=True):
            described = image["face"] if face != "all" else image["faces"][each["face"]]
            assert row["sha256"] == hashlib.sha256(data).hexdigest()
            assert row["faces_found"] == image["faces_found"]
            assert row["conditions"] == each["conditions"]
            assert set(row["warnings"]) == {*image["warnings"], *(described["warnings"] if described else ())}
            assert np.array(row["embedding"], np.float32).tobytes() == np.array(each["embedding"], "f4").tobytes()


def test_warnings_in_a_table_can_be_told_apart(tmp_path: Path) -> None:
    with writing_table(tmp_path / "a.csv", pa.schema([("warnings", pa.list_(pa.string()))])) as table:
        table.write([[["blurred; take another", "dark"]]])
    assert (tmp_path / "a.csv").read_text().splitlines() == ["warnings", "blurred; take another | dark"]


def test_npy_and_its_table_have_the_rows_of_parquet(
    checkpoint_path: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = embed(photographs, checkpoint_path, tmp_path / "a.parquet")
    assert "7 embeddings of 11 files; without one: empty_image 1, image_too_small 1, " in capsys.readouterr().out
    embed(photographs, checkpoint_path, tmp_path / "b.npy")
    values = np.load(tmp_path / "b.npy", mmap_mode="r")
    assert values.dtype == np.float32
    assert values.tolist() == [row["embedding"] for row in rows]
    with (tmp_path / "b.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [(int(row["row"]), row["path"], row["sha256"]) for row in table] == [
        (number, row["path"], row["sha256"]) for number, row in enumerate(rows)
    ]
    assert problems(tmp_path / "a.parquet") == problems(tmp_path / "b.npy")
    header = load(checkpoint_path).header
    record = json.loads((tmp_path / "b.json").read_text())
    assert record["checkpoint_sha256"] == header.checkpoint_sha256
    assert record["embedding_sha256"] == header.embedding_sha256
    assert json.loads(pq.read_schema(tmp_path / "a.parquet").metadata[b"facepair"])["files"] == 11
    assert not list(tmp_path.glob("*.parts"))


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        ("embed a.parquet", "embed a.npy", "a.problems.csv"),
        ("embed a.npy", "verify a.csv", "a.csv"),
        ("verify a.csv", "embed a.npy", "a.csv"),
        ("embed a.parquet", "verify a.parquet", "a.parquet"),
        ("verify a.parquet", "embed a.parquet", "a.parquet"),
    ],
)
def test_result_of_another_command_is_not_written_over(
    checkpoint_path: Path,
    photographs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    first: str,
    second: str,
    kept: str,
) -> None:
    (tmp_path / "pairs.txt").write_text(f"{photographs}/a/plain.png,{photographs}/b/grey.png\n")
    sources = {"embed": photographs, "verify": tmp_path / "pairs.txt"}

    def call(words: str) -> int:
        name, out = words.split()
        return main(command(sources[name], checkpoint_path, tmp_path / out, name=name))

    assert call(first) == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert call(second) == 1
    said = f"{tmp_path / kept}: is not an earlier result of this command; move it, or choose another --out"
    assert capsys.readouterr().err == f"error: {said}\n"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert call(first) == 0


@pytest.mark.parametrize("name", ["out.npy", "out.csv", "out.problems.csv", "out.json"])
def test_file_of_the_user_is_not_written_over(
    checkpoint_path: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / name).write_text("[]")
    assert main(command(photographs, checkpoint_path, tmp_path / "out.npy")) == 1
    assert f"{tmp_path / name}: is not an earlier result of this command" in capsys.readouterr().err
    assert [path.read_text() for path in tmp_path.iterdir()] == ["[]"]


@pytest.mark.parametrize("ended_at", ["_problems", "write_record"])
def test_interrupted_result_is_written_again(
    checkpoint_path: Path, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended_at: str
) -> None:
    def end(*_: object) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "out.npy"
    arguments = command(photographs, checkpoint_path, out)
    with monkeypatch.context() as patch:
        patch.setattr(f"training.bulk.outputs.{ended_at}", end)
        assert main(arguments) == 130
    assert out.exists()
    assert main(arguments) == 0
    assert (tmp_path / "out.json").exists()


def test_what_is_read_is_not_written_over(
    checkpoint_path: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = tmp_path / "list.csv"
    paths.write_text(str(photographs / "none.png"))
    assert main(command(paths, checkpoint_path, tmp_path / "list.npy")) == 1
    assert main(command(paths, checkpoint_path, paths, name="verify")) == 1
    for line in capsys.readouterr().err.splitlines():
        assert line == f"error: {paths}: would be written over, and the command reads it; name another file with --out"
    assert paths.read_text() == str(photographs / "none.png")
    assert main(command(paths, checkpoint_path, tmp_path / "list.parquet")) == 0


def test_list_gives_its_files_in_its_order(checkpoint_path: Path, photographs: Path, tmp_path: Path) -> None:
    names = ["b/grey.png", "a/plain.png", "absent.png", "a", "a/plain.png"]
    (photographs / "list.txt").write_text("\n".join(names), encoding="utf-16")
    out = tmp_path / "out.parquet"
    rows = embed(photographs / "list.txt", checkpoint_path, out)
    assert [row["path"] for row in rows] == ["b/grey.png", "a/plain.png", "a/plain.png"]
    assert problems(out) == {
        "absent.png": ("unreadable_file", "the file cannot be read: No such file or directory"),
        "a": ("unreadable_file", "it is no plain file"),
    }
    (photographs / "list.txt").unlink()


def test_files_that_could_not_be_read_are_tried_again(
    checkpoint_path: Path,
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As after a network share was away. A path without a file has nothing to be tried again."""
    (photographs / "list.txt").write_text("a/plain.png\nb/grey.png\nabsent.png")
    out = tmp_path / "out.npy"
    arguments = command(photographs / "list.txt", checkpoint_path, out)

    def read_away(path: Path) -> bytes:
        if path.name == "grey.png":
            raise UnreadableFile("the file cannot be read: Input/output error")
        return read_file(path)

    with monkeypatch.context() as patch:
        patch.setattr("training.bulk.image_files.read_file", read_away)
        assert main(arguments) == 0
        assert "1 embeddings of 3 files" in capsys.readouterr().out
    assert main(arguments) == 0
    assert "2 embeddings of 3 files" in capsys.readouterr().out
    (tmp_path / "out.csv").unlink()
    assert main(arguments) == 0
    assert (tmp_path / "out.csv").exists()
    capsys.readouterr()
    assert main(arguments) == 0
    assert "is complete already" in capsys.readouterr().out
    (photographs / "list.txt").unlink()


def test_names_that_are_not_utf8_are_told_apart(checkpoint_path: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in (b"\xfe", b"\xff"):
        (tmp_path / "in" / f"{number.decode('utf-8', 'surrogateescape')}.png").write_bytes(pictures()["a/plain.png"])
    rows = embed(tmp_path / "in", checkpoint_path, tmp_path / "out.parquet")
    assert [row["path"] for row in rows] == [r"\xfe.png", r"\xff.png"]


def test_interrupted_work_goes_on_and_a_changed_file_is_embedded_again(
    checkpoint_path: Path,
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole, out = tmp_path / "whole.parquet", tmp_path / "out.parquet"
    embed(photographs, checkpoint_path, whole)
    arguments = command(photographs, checkpoint_path, out)
    done: list[tuple[str, ...]] = []

    def embed_part(self: parts.PartEmbedder, part: parts.Part) -> parts.PartCounts:
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(part.names)
        return original(self, part)

    original = parts.PartEmbedder.__call__
    with monkeypatch.context() as patch:
        patch.setattr(parts.PartEmbedder, "__call__", embed_part)
        assert main(arguments) == 130
        assert "the same command continues where it stopped" in capsys.readouterr().err
        done[:] = [()]
        assert main(arguments) == 130  # two more parts, of six
    assert not out.exists()
    assert len(list((tmp_path / "out.parquet.parts").glob("*.parquet"))) == 5
    with alone_in(tmp_path / "out.parquet.parts"):
        assert main(arguments) == 1
    assert f"error: {out}: another command writes it; wait for that one" in capsys.readouterr().err
    assert main(arguments) == 0
    assert out.read_bytes() == whole.read_bytes()
    capsys.readouterr()
    assert main(arguments) == 0
    assert capsys.readouterr().out == f"{out}: is complete already; nothing has changed since\n"
    changed = tmp_path / "changed.txt"
    changed.write_text(str(photographs / "a" / "plain.png"))
    embed(changed, checkpoint_path, out)
    assert len(pq.read_table(out)) == 1


def test_file_at_which_processes_end_is_left_out(
    checkpoint_path: Path, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the next processes read of the log, without processes."""
    original, ends = ImageEmbedder.read, list[str]()

    def read(self: ImageEmbedder, path: Path, name: str) -> Any:
        if name == "b/crowd.webp":
            ends.append(name)
            raise KeyboardInterrupt  # passes every handler, as the end of a process does
        return original(self, path, name)

    monkeypatch.setattr(ImageEmbedder, "read", read)
    out = tmp_path / "out.parquet"
    arguments = command(photographs, checkpoint_path, out)
    assert [main(arguments) for _ in range(3)] == [130, 130, 0]
    assert len(ends) == 2
    assert problems(out)["b/crowd.webp"][0] == "undecodable_image"
    assert len(pq.read_table(out)) == 6


def test_full_disk_is_one_line(
    checkpoint_path: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = command(photographs, checkpoint_path, tmp_path / "out.npy")
    with no_file_larger_than(0):
        assert main(arguments) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {tmp_path / 'out.npy.parts'}/000000-")
    assert line.endswith(".attempts: cannot be written: File too large; choose another --out")
    assert main(arguments) == 0


@pytest.mark.parametrize(
    ("further", "said"),
    [
        (["--out", "out.csv"], "out.csv: --out must end with .parquet or .npy"),
        (["--out", "out.npy", "--face", "all"], "--face all: the model sees whole pictures and finds no faces"),
        (["--out", "out.npy", "--weights", "absent"], "absent: the file does not exist"),
    ],
)
def test_wrong_arguments_are_one_line(
    checkpoint_path: Path, photographs: Path, capsys: pytest.CaptureFixture[str], further: list[str], said: str
) -> None:
    assert main(["embed", str(photographs), "--weights", str(checkpoint_path), *further]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {said}")


def test_folder_without_pictures_is_refused(
    checkpoint_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(tmp_path, checkpoint_path, tmp_path / "out.npy")) == 1
    assert f"{tmp_path}: has not one file to embed; expected at least a picture (.avif, " in capsys.readouterr().err


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    for name in ("in/a/1.png", "in/b/2.png", "elsewhere/3.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    assert Listing.of(tmp_path / "in").names == ["a/1.png", "b/2.png", "linked/3.png"]
    (tmp_path / "in" / "a" / "above").symlink_to(tmp_path / "in")
    (tmp_path / "elsewhere" / "outside").symlink_to(tmp_path)
    (tmp_path / "in" / "absent").symlink_to(tmp_path / "absent")
    assert Listing.of(tmp_path / "in").names == ["a/1.png", "b/2.png", "linked/3.png"]


def test_folder_that_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "open.png").touch()
    scan = os.scandir

    def scan_open(path: str) -> Any:
        if Path(path).name == "closed":
            raise PermissionError(EACCES, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scan_open)
    with pytest.raises(DataError, match="closed: the folder cannot be read: Permission denied; make it readable"):
        Listing.of(tmp_path)


def test_file_larger_than_the_service_takes_is_not_read(checkpoint_path: Path, tmp_path: Path, settings: Any) -> None:
    assert parts.PART_FILES > 2
    (tmp_path / "in").mkdir()
    for name, size in (("large.jpg", settings.max_image_bytes + 1), ("full.jpg", settings.max_image_bytes)):
        with (tmp_path / "in" / name).open("wb") as file:
            file.truncate(size)
    out = tmp_path / "out.npy"
    embed(tmp_path / "in", checkpoint_path, out)
    assert {path: code for path, (code, _) in problems(out).items()} == {
        "large.jpg": "too_many_bytes",
        "full.jpg": "unsupported_image",
    }
    assert np.load(out).shape == (0, 32)
