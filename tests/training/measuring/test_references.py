"""Error rates with several reference photographs, against a slow loop over all comparisons."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.arrays import Embeddings
from model.averaging import mean_embedding
from model.errors import DataError
from model.networks import heads
from tests.training.measuring.test_all_pairs import residual
from tests.training.support.small_pairs import CPU
from tests.training.support.small_people import PICTURES, SMALL_PEOPLE, album_of, data_of, draw_people
from training.__main__ import main
from training.learning.loop import train
from training.measuring import references
from training.measuring.references import Method
from training.runs.finish import finish
from training.statistics import operating_points

Counts = NDArray[np.int64]
OWNER = np.repeat(np.arange(5), [8, 2, 26, 1, 7])
ENROLLED = [0, 2, 4]


@torch.no_grad()
def slow_tallies(embeddings: torch.Tensor, threshold: float) -> dict[tuple[int, Method], tuple[Counts, Counts]]:
    """What `tally` counts, a comparison at a time, in double precision."""
    network = residual("joint-bayesian").double()
    draws = np.random.default_rng(0)
    rows = embeddings.numpy()
    methods: tuple[Method, ...] = ("mean", "best")
    found = {
        (count, method): (np.zeros((len(ENROLLED), 5), int), np.zeros((len(ENROLLED), 5), int))
        for count in references.COUNTS
        for method in methods
    }

    def score(one: Embeddings, other: Embeddings) -> float:
        sides = (torch.from_numpy(side)[None].double() for side in (one, other))
        return float(heads.similarity(network.compare(*sides)))

    for _ in range(references.DRAWS):
        orders = [draws.permutation(np.flatnonzero(person == OWNER)) for person in ENROLLED]
        for row, (person, order) in enumerate(zip(ENROLLED, orders, strict=True)):
            strangers = [number for number in range(len(OWNER)) if OWNER[number] != person]
            for number in [*order[5:20], *strangers]:
                for count in references.COUNTS:
                    mean = mean_embedding(rows[order[:count]], (rows.shape[1],))
                    best = max(score(rows[place], rows[number]) for place in order[:count])
                    for method, value in zip(methods, (score(mean, rows[number]), best), strict=True):
                        accepted, compared = found[count, method]
                        accepted[row, OWNER[number]] += value >= threshold
                        compared[row, OWNER[number]] += 1
    return found


def test_tallies_equal_a_slow_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "DRAWS", 2)
    embeddings = torch.randn(len(OWNER), 16, generator=torch.Generator().manual_seed(3))
    embeddings = torch.nn.functional.normalize(embeddings)
    network = residual("joint-bayesian")
    threshold = float(heads.similarity(network.logit_table(embeddings, embeddings)).quantile(0.7))
    found = references.tally(network, embeddings, OWNER, threshold, (16,))
    wanted = slow_tallies(embeddings, threshold)
    assert set(found) == set(wanted)
    for key, (accepted, compared) in wanted.items():
        assert found[key].accepted.tolist() == accepted.tolist()
        assert found[key].compared.tolist() == compared.tolist()
    assert 0 < found[1, "mean"].accepted.sum() < found[1, "mean"].compared.sum()
    assert (found[1, "mean"].accepted == found[1, "best"].accepted).all()
    assert (found[5, "mean"].accepted != found[5, "best"].accepted).any()


def test_rates_weigh_people_as_they_are_drawn() -> None:
    own = np.array([[True, False, False], [False, False, True]])
    accepted, compared = np.array([[3, 1, 0], [2, 0, 4]]), np.array([[4, 5, 6], [7, 8, 10]])
    tally = references.Tally(accepted, compared, own)
    drawn = np.array([[1, 1, 1], [2, 1, 0], [0, 3, 2]])
    assert tally.fnmr(drawn) == pytest.approx([7 / 14, 1 / 4, 6 / 10])
    assert tally.fmr(drawn) == pytest.approx([3 / 26, (2 * 1 * 1) / (2 * 1 * 5), 0.0])


def test_people_with_too_few_pictures_are_named() -> None:
    with pytest.raises(DataError, match="at least one person with 6 pictures"):
        references.tally(residual("cosine"), torch.zeros(10, 16), np.repeat([0, 1], 5), 0.5, (16,))


def test_command_measures_held_out_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = draw_people(tmp_path)
    data = data_of(album_of(folder, folder / "cache"))
    monkeypatch.setattr(operating_points, "EXPECTED", 0)  # the drawn people support no operating point
    monkeypatch.setattr(operating_points, "WITHIN", math.inf)
    finish(SMALL_PEOPLE, train(SMALL_PEOPLE, data, folder / "run", CPU), data, None, folder / "run", "code")
    arguments = ["references", str(folder / "run" / "small-people.safetensors"), "--data", str(folder), "--images",
                 "people", "--cache", str(folder / "cache"), "--train-people", "people.txt", "--device", "cpu",
                 "--out", str(tmp_path / "found.json")]  # fmt: skip
    assert main(arguments) == 1
    assert "has no operating point for an FMR of 1%" in capsys.readouterr().err
    monkeypatch.setattr(references, "MAX_FMR", 0.1)
    monkeypatch.setattr(references, "COUNTS", (1, 2))
    assert main(arguments) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    held = [PICTURES[int(name.removeprefix("Person_"))] for name in data.held_out]
    assert (found["people"], found["enrolled"]) == (len(held), sum(count > 2 for count in held))
    assert found["genuine"] == sum(count - 2 for count in held if count > 2)
    assert [(row["references"], row["method"]) for row in found["rates"]] == [
        (1, "mean"), (1, "best"), (2, "mean"), (2, "best"),
    ]  # fmt: skip
    assert f"{found['enrolled']} of {found['people']} held-out people enrolled" in capsys.readouterr().out
