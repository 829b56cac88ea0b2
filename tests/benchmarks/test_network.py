"""The benchmark of the bare network, and what all commands share; no test looks at how fast it was."""

import json
import shlex
from pathlib import Path

import pytest

from benchmarks import http, network, training_step
from benchmarks.arithmetic import forward_flop
from benchmarks.bare import load_bare
from benchmarks.machine import PRODUCT_FLOP
from model.checkpoint import load as load_checkpoint
from model.similarity import similarity
from tests.conftest import TINY


def test_network_figures_from_known_seconds(checkpoint_path: Path) -> None:
    header = load_checkpoint(checkpoint_path).header
    figures = network.network_figures(header, [4], {"product": [2.0, 4.0, 2.0], "4": [0.5, 1.0, 0.25]})
    flop = forward_flop(TINY)
    [row] = figures.table
    assert (row["batch"], row["batch_ms"], row["images_per_s"]) == (4, 500, 8)
    assert row["gflop_per_s"] == pytest.approx(4 * flop / 0.5 / 1e9)
    ratio = 4 * flop / 0.5 / (PRODUCT_FLOP / 2)
    assert (row["ratio_to_product"], row["ratio_to_product_low"], row["ratio_to_product_high"]) == pytest.approx(
        (ratio, ratio, 2 * ratio)
    )
    assert figures.summary["product_gflop_per_s"] == pytest.approx(PRODUCT_FLOP / 2 / 1e9)
    assert figures.summary["rounds"] == 3


def test_every_turn_embeds_about_as_many_pictures(checkpoint_path: Path) -> None:
    bare = load_bare(checkpoint_path, "cpu")
    embed, seen = bare.embedder.embed, list[int]()
    bare.embedder.embed = lambda pixels, threads=None: seen.append(len(pixels)) or embed(pixels, threads)  # type: ignore[method-assign,func-returns-value]
    network.time_batches(bare, [1, 4], rounds=1)
    assert seen == [1, 4, 1, 1, 1, 1, 4]


def test_a_missing_checkpoint_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert network.main(["--weights", str(tmp_path / "none"), "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err.splitlines() == [f"error: {tmp_path / 'none'}: the file does not exist"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("main", [network.main, http.main, training_step.main])
def test_no_benchmark_takes_zero_rounds(main: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(main)
    with pytest.raises(SystemExit):
        main(["--rounds", "0"])
    assert "must be 1 or more" in capsys.readouterr().err


def test_a_bare_verification_compares_the_two_embeddings(checkpoint_path: Path) -> None:
    bare = load_bare(checkpoint_path, "cpu")
    embeddings = bare.embedding(2)()
    assert bare.verification()() == similarity(bare.embedder.compare(embeddings[:1], embeddings[1:]))[0]


def test_the_network_command_writes_and_prints_a_record(
    checkpoint_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = {"--weights": checkpoint_path, "--out": tmp_path}
    arguments = ["--device", "cpu", "--rounds", "1", "--batches", "1", "3", "--name", "tiny"]
    arguments += [part for option, path in paths.items() for part in (option, str(path))]
    assert network.main(arguments) == 0
    [path] = tmp_path.iterdir()
    record = json.loads(path.read_text())
    assert path.name == f"tiny-{record['utc'][:10]}.json"
    # Of a path on this machine a record has the name alone.
    named = [Path(part).name if part.startswith("/") else part for part in arguments]
    assert shlex.split(record["command"]) == ["python", "-m", "benchmarks.network", *named]
    assert str(tmp_path.parent) not in path.read_text()
    assert [row["batch"] for row in record["figures"]["table"]] == [1, 3]
    assert all(value > 0 for row in record["figures"]["table"] for value in row.values())
    assert record["figures"]["summary"]["model"] == "tiny"
    assert f"wrote {path}" in capsys.readouterr().out
