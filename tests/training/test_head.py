"""Fitting a head is refused if the network is no better than chance."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from model.errors import TrainingError
from model.networks.configurations import ResidualConfig
from model.networks.residual import ResidualNetwork, initialise
from training.data.datasets import PeopleData
from training.fitting import fit_head


@pytest.mark.parametrize("better", [True, False])
def test_network_worse_than_chance_is_refused(monkeypatch: pytest.MonkeyPatch, better: bool) -> None:
    network = ResidualNetwork(
        ResidualConfig(side_px=32, view_px=16, channels=(4, 4, 6, 8), dimension=16, head="cosine")
    )
    initialise(network, torch.Generator().manual_seed(0))
    same = np.arange(200) < 100
    scores = np.random.default_rng(0).normal(0, 1, 200) + (same if better else ~same)

    def scored(*_: Any) -> tuple[np.ndarray, np.ndarray]:
        return scores, same

    monkeypatch.setattr("training.scoring.raw_scores", scored)
    data = cast("PeopleData", SimpleNamespace(album=None, validation=None))
    if better:
        fit_head(network, data)
        assert float(network.head.scale) > 0
    else:
        with pytest.raises(TrainingError, match="no better than chance"):
            fit_head(network, data)
