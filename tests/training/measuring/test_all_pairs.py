"""Every pair of a list of people: scored by matrix products, and the rates that so many pairs can show."""

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from model.checkpoint import load
from model.networks.configurations import ResidualConfig
from model.networks.embedder import save
from model.networks.residual import ResidualNetwork
from model.networks.residual import initialise as initialise_residual
from tests.conftest import describe, tiny_network
from training.__main__ import main
from training.data.datasets import impostor_pairs
from training.measuring.all_pairs import fnmr_over_people
from training.scoring import AllPairs, score_all
from training.statistics.rates import fnmr_at_fmr

OWNER = torch.tensor([0, 0, 0, 1, 2, 2, 3, 4, 4, 4, 4, 5] * 60)[:290].sort().values


def residual(head: Literal["cosine", "joint-bayesian"]) -> ResidualNetwork:
    """A head with random values that are of a fitted head's size."""
    config = ResidualConfig(side_px=32, view_px=16, channels=(4, 4, 6, 8), dimension=16, head=head)
    network = ResidualNetwork(config)
    draws = torch.Generator().manual_seed(0)
    initialise_residual(network, draws)
    for tensor in network.head.buffers():
        tensor.copy_(torch.randn(tensor.shape, generator=draws))
    network.head.scale.abs_()
    return network.eval()


@pytest.mark.parametrize("kind", ["siamese", "cosine", "joint-bayesian"])
def test_all_pairs_equal_pairwise_comparisons(kind: Literal["siamese", "cosine", "joint-bayesian"]) -> None:
    network = tiny_network() if kind == "siamese" else residual(kind)
    embeddings = torch.randn(len(OWNER), 32 if kind == "siamese" else 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = score_all(network, embeddings, OWNER)
        left, right = impostor_pairs({str(i): torch.arange(len(OWNER))[OWNER.eq(i)] for i in range(6)})
        wanted = network.compare(embeddings[left], embeddings[right]).numpy()
    assert found.impostor == pytest.approx(wanted, abs=1e-4, rel=1e-4)
    assert (found.left.tolist(), found.right.tolist()) == (OWNER[left].tolist(), OWNER[right].tolist())
    assert len(found.genuine) + len(left) == len(OWNER) * (len(OWNER) - 1) // 2
    assert found.pictures.tolist() == [int(OWNER.eq(i).sum()) for i in range(6)]
    assert [int((found.owner == i).sum()) for i in range(6)] == [int(n * (n - 1) // 2) for n in found.pictures]


def test_logit_table_supports_weights_of_both_signs() -> None:
    network = tiny_network()
    with torch.no_grad():
        network.comparison.weight[0, ::3] *= -1
        left, right = torch.randn(5, 32), torch.randn(7, 32)
        found = network.logit_table(left, right)
        for row in range(5):
            wanted = network.compare(left[row].expand(7, 32), right)
            assert torch.allclose(found[row], wanted, atol=1e-5)


def crowd(people: int = 40, seed: int = 0) -> AllPairs:
    """Scored pairs of people who have one to four pictures, on a coarse grid so that ties are common."""
    draws = np.random.default_rng(seed)
    pictures = draws.integers(1, 5, people)
    owner = np.repeat(np.arange(people), pictures)
    rows, columns = np.triu_indices(len(owner), 1)
    left, right = owner[rows], owner[columns]
    same = left == right
    logits = np.round(draws.normal(np.where(same, 1.5, -1), 1), 1).astype(np.float32)
    return AllPairs(
        genuine=logits[same],
        owner=left[same],
        impostor=logits[~same],
        left=left[~same],
        right=right[~same],
        pictures=pictures,
    )


@pytest.mark.parametrize("max_fmr", [0.3, 0.1, 0.01, 0.001])
def test_fnmr_equals_that_of_the_roc(max_fmr: float) -> None:
    pairs = crowd()
    scores = np.concatenate([pairs.genuine, pairs.impostor]).astype(np.float64)
    same = np.arange(len(scores)) < len(pairs.genuine)
    assert fnmr_over_people(pairs, max_fmr).value == fnmr_at_fmr(scores, same, max_fmr)


def test_interval_equals_a_slow_bootstrap() -> None:
    pairs, people, values = crowd(), 40, []
    scores = np.concatenate([pairs.genuine, pairs.impostor]).astype(np.float64)
    same = np.arange(len(scores)) < len(pairs.genuine)
    for drawn in np.random.default_rng(0).multinomial(people, [1 / people] * people, 1000):
        weights = np.concatenate([drawn[pairs.owner], drawn[pairs.left] * drawn[pairs.right]])
        chosen = np.repeat(np.arange(len(scores)), weights)
        values.append(fnmr_at_fmr(scores[chosen], same[chosen], 0.05))
    found = fnmr_over_people(pairs, 0.05)
    assert [found.low, found.high] == pytest.approx(np.percentile(values, [2.5, 97.5]))


def test_evenly_gives_people_the_same_weight() -> None:
    pairs = crowd()
    refused = sorted(pairs.impostor.tolist(), reverse=True)[int(0.05 * len(pairs.impostor))]
    shares = []
    for person in set(pairs.owner.tolist()):
        own = [logit <= refused for logit, owner in zip(pairs.genuine, pairs.owner, strict=True) if owner == person]
        shares.append(sum(own) / len(own))
    found = fnmr_over_people(pairs, 0.05, evenly=True)
    assert found.value == pytest.approx(np.mean(shares))
    assert found.value != fnmr_over_people(pairs, 0.05).value
    assert found.low <= found.value <= found.high


def test_only_the_highest_pairs_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = crowd(120)
    whole = fnmr_over_people(pairs, 0.01)
    monkeypatch.setattr("training.measuring.all_pairs.MIN_KEPT", 0)
    assert fnmr_over_people(pairs, 0.01) == whole


def test_command_measures_a_list_of_people(people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "tiny.safetensors", tiny_network(), describe())
    (people / "five.txt").write_text("".join(f"Person_{i}\t3\n" for i in range(5)) + "Somebody\t2\n")
    arguments = ["all-pairs", str(tmp_path / "tiny.safetensors"), "--data", str(people), "--images", "people",
                 "--cache", str(tmp_path / "cache"), "--device", "cpu"]  # fmt: skip
    assert main([*arguments, "--people", "five.txt", "--out", str(tmp_path / "found.json")]) == 0
    shown = capsys.readouterr().out
    assert "15 pictures of 5 people of five.txt, 2 missing: 15 genuine and 90 impostor pairs" in shown
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["checkpoint_sha256"] == load(tmp_path / "tiny.safetensors").header.checkpoint_sha256
    assert found["rates"] == []
    (people / "six.txt").write_text("".join(f"Person_{i}\t3\n" for i in range(6)))
    assert main([*arguments, "--people", "six.txt"]) == 0
    assert "FNMR at FMR 1.00%  each person alike" in capsys.readouterr().out
    (people / "one.txt").write_text("Person_1\t3\n")
    assert main([*arguments, "--people", "one.txt"]) == 1
    assert "at least 2 people, one with several pictures" in capsys.readouterr().err
