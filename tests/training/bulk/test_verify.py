"""`python -m training verify`: a list of pairs, with the answers of the service."""

import csv
from collections.abc import AsyncIterator
from math import log
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from app.server.replica import open_verifier
from app.settings import SHIPPED, read_settings
from tests.conftest import client_of
from tests.drawing import encode
from tests.faces import head_at, scene
from tests.training.bulk.conftest import pictures
from tests.training.learning.test_full_disk import no_file_larger_than
from training.__main__ import main
from training.bulk import embedding
from training.bulk.pairs import EmbeddedImages

pytestmark = pytest.mark.anyio

PAIRS = [
    ("a/plain.png", "a/tilted.jpg"),
    ("a/plain.png", "b/grey.png"),
    ("bad/cut.png", "a/plain.png"),
    ("b/crowd.webp", "bad/faceless.png"),
    ("bad/text.jpg", "bad/empty.jpg"),
    ("b/deeper/turned.jpg", "a/tilted.jpg"),
    ("a/plain.png", "a/plain.png"),
]


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "run_tasks", lambda open_work, tasks, *_: map(open_work(), tasks))
    monkeypatch.setattr("training.bulk.listing.PART_FILES", 2)
    monkeypatch.setattr("training.bulk.pairs.CHUNK", 3)


@pytest.fixture(scope="module")
def pairs(photographs: Path) -> Path:
    path = photographs / "pairs.csv"
    path.write_text("image1,image2\n" + "".join(f"{one}, {other}\n" for one, other in PAIRS))
    return path


@pytest.fixture
async def shipped_client() -> AsyncIterator[httpx.AsyncClient]:
    """A client of the shipped checkpoint, which has conditions and rates."""
    settings = read_settings({"weights": SHIPPED, "device": "cpu"}, environment={})
    async with client_of(settings, open_verifier(settings)) as client:
        yield client


@pytest.mark.parametrize("rule", [{}, {"max_fmr": "0.01"}, {"threshold": "0.9"}])
async def test_rows_are_the_answers_of_the_service(
    shipped_client: httpx.AsyncClient, pairs: Path, tmp_path: Path, rule: dict[str, str]
) -> None:
    out = tmp_path / "result.parquet"
    further = [text for name, value in rule.items() for text in (f"--{name.replace('_', '-')}", value)]
    assert main(["verify", str(pairs), "--weights", str(SHIPPED), "--out", str(out), *further]) == 0
    rows: list[dict[str, Any]] = pq.read_table(out).to_pylist()
    assert [(row["image1"], row["image2"]) for row in rows] == PAIRS
    for row, (one, other) in zip(rows, PAIRS, strict=True):
        images = {"image1": pictures()[one], "image2": pictures()[other]}
        answer = (await shipped_client.post("/v1/verify", files=images, data=rule)).json()
        if "code" in answer:
            assert (row["problem_of"], row["code"], row["detail"]) == (
                answer["field"],
                answer["code"],
                answer["detail"],
            )
            assert row["decision"] is row["similarity"] is None
            continue
        logits = [log(each["similarity"] / (1 - each["similarity"])) for each in (row, answer)]
        assert logits[0] == pytest.approx(logits[1], abs=5e-6)  # the networks' batches differ
        rates = [row["fmr_at_similarity"], answer["fmr_at_similarity"]]
        assert rates == [None, None] or rates[0] == pytest.approx(rates[1], rel=1e-6)
        for name in ("decision", "fmr_is_upper_bound", "conditions"):
            assert row[name] == answer[name]
        assert row["code"] is None
    decisions = {row["decision"] for row in rows}
    assert decisions >= ({None, "undecided"} if "max_fmr" in rule else {None, "same"})


def test_csv_has_the_same_rows(
    checkpoint_path: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["verify", str(pairs), "--weights", str(checkpoint_path), "--out"]
    assert main([*command, str(tmp_path / "a.csv")]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("7 pairs: ")
    assert "undecodable_image 1" in shown
    assert main([*command, str(tmp_path / "b.parquet")]) == 0
    with (tmp_path / "a.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    rows = pq.read_table(tmp_path / "b.parquet").to_pylist()
    assert [row["similarity"] for row in table] == [str(row["similarity"] or "") for row in rows]
    assert [row["code"] for row in table] == [row["code"] or "" for row in rows]
    assert not list(tmp_path.glob("*.parts"))


async def test_similarity_of_many_is_that_of_one(
    aligned_client: httpx.AsyncClient, aligned_checkpoint_path: Path, tmp_path: Path
) -> None:
    """Chunks and batches change nothing."""
    for person in range(5):
        (tmp_path / f"{person}.png").write_bytes(encode(scene(head_at(person))))
    several = [(one, other) for one in range(5) for other in range(5)]
    (tmp_path / "pairs.csv").write_text("".join(f"{one}.png,{other}.png\n" for one, other in several))
    out = tmp_path / "result.parquet"
    command = ["verify", str(tmp_path / "pairs.csv"), "--weights", str(aligned_checkpoint_path), "--out", str(out)]
    assert main(command) == 0
    similarities = pq.read_table(out)["similarity"].to_pylist()
    for (one, other), found in list(zip(several, similarities, strict=True))[::4]:
        images = {f"image{n}": (tmp_path / f"{each}.png").read_bytes() for n, each in ((1, one), (2, other))}
        answer = (await aligned_client.post("/v1/verify", files=images)).json()
        assert found == pytest.approx(answer["similarity"], rel=1e-6)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a.png,b.png\nc.png\n", "pairs.csv:2: expected two paths, separated by a comma"),
        ("image1,image2\n", "pairs.csv: the list has no pairs"),
        ("a.png,\n", "pairs.csv:1: expected two paths, separated by a comma"),
        ('"a\nb",c.png\nd.png\n', "pairs.csv:3: expected two paths, separated by a comma"),
        ('"a.png,' + 200_000 * "b", "perhaps because of a quotation mark: field larger than field limit (131072)"),
    ],
)
def test_wrong_lists_are_one_line(
    checkpoint_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    (tmp_path / "pairs.csv").write_text(text)
    command = ["verify", str(tmp_path / "pairs.csv"), "--weights", str(checkpoint_path)]
    assert main([*command, "--out", str(tmp_path / "out.csv")]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith(said)


def test_full_disk_is_one_line(
    checkpoint_path: Path,
    pairs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The parts still fit, the embeddings of all of them do not."""
    of, out = EmbeddedImages.of, tmp_path / "out.csv"

    def of_full(*arguments: Any) -> EmbeddedImages:
        with no_file_larger_than(100):
            return of(*arguments)

    monkeypatch.setattr(EmbeddedImages, "of", of_full)
    command = ["verify", str(pairs), "--weights", str(checkpoint_path), "--out", str(out)]
    assert main(command) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {tmp_path / 'out.csv.parts' / 'embeddings.raw'}: cannot be written: ")


def test_operating_point_that_the_model_lacks_is_refused(
    checkpoint_path: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out.csv")
    assert main(["verify", str(pairs), "--weights", str(checkpoint_path), "--max-fmr", "0.01", "--out", out]) == 1
    assert "the model has no such operating point: it has none; send a threshold" in capsys.readouterr().err
