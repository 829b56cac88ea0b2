"""Scoring in batches equals scoring pair by pair."""

import pytest
import torch

from model.networks.embedder import normalise, to_unit
from model.networks.siamese import SiameseNetwork, initialise
from tests.training.support.small_pairs import NARROW, SMALL
from training.data.album import Album, PairSet
from training.scoring import BATCH, score_pairs


@pytest.fixture
def network() -> SiameseNetwork:
    network = SiameseNetwork(NARROW.model_copy(update={"dropout": 0.5}))
    initialise(network, torch.Generator().manual_seed(0))
    return network


def crowd(count: int) -> tuple[Album, PairSet]:
    """More pictures and pairs than fit into one batch; no picture is looked up by its own number."""
    draws = torch.Generator().manual_seed(1)
    pixels = torch.randint(256, (count, 66, 66), generator=draws, dtype=torch.uint8)
    album = Album(
        keys=[("Ada", str(i)) for i in range(count)], pixels=pixels, sha256="", preprocessing=SMALL.preprocessing
    )
    left, right = torch.randint(count, (2, count + 9), generator=draws)
    return album, PairSet(left=left, right=right, same=(left % 2 == 0).float())


def test_scores_equal_a_slow_loop(network: SiameseNetwork) -> None:
    album, pairs = crowd(BATCH + 20)
    scores, same = score_pairs(network, album, pairs)
    assert len(scores) == len(pairs) > BATCH
    assert same.tolist() == [label == 1 for label in pairs.same.tolist()]
    network.eval()
    for place, (left, right) in enumerate(zip(pairs.left, pairs.right, strict=True)):
        images = normalise(to_unit(album.pixels[torch.stack([left, right])]), SMALL.preprocessing)
        with torch.inference_mode():
            logit = float(network(images[:1], images[1:]))
        assert scores[place] == pytest.approx(float(torch.tensor(logit).double().sigmoid()), abs=1e-6)
    assert scores.std() > 1e-4


def test_scoring_sets_evaluation_mode_and_keeps_weights(network: SiameseNetwork) -> None:
    album, pairs = crowd(5)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.train()
    first, _ = score_pairs(network, album, pairs)
    again, _ = score_pairs(network, album, pairs)
    assert first.tolist() == again.tolist()
    assert not network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
