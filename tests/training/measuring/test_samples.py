"""The sample of a large album that `calibrate` measures on, against every pair of the album."""

from pathlib import Path

import numpy as np
import pytest
import torch

from model.imaging.preprocessing import PreprocessingConfig
from model.networks.architecture import restore
from model.networks.face_network import FaceNetwork
from model.similarity import similarity
from tests.training.measuring.test_recalibration import save_one
from training import scoring
from training.data.album import Album
from training.measuring import samples
from training.measuring.recalibration import recalibrated
from training.statistics.streamed_rates import Stream, false_match_rates

# `calibrate` draws 3,000 of more pictures, which takes longer. 142 people support the lowest rate.
PEOPLE, PICTURES, SAMPLED = 300, 3, 450


def album_of_crowd(preprocessing: PreprocessingConfig) -> Album:
    """Blurred noise, one image for each person and some more for each picture; later people are less alike."""
    draws = np.random.default_rng(0)
    pixels = []
    for person in range(PEOPLE):
        own = draws.normal(0, 20 + 60 * person / PEOPLE, (8, 8))
        rows = own + draws.normal(0, 15, (PICTURES, 8, 8))
        pixels.append(np.kron(rows, np.ones((4, 4))) + draws.normal(0, 4, (PICTURES, 32, 32)))
    return Album(
        keys=[(f"Person_{person:03d}", f"{number:02d}") for person in range(PEOPLE) for number in range(PICTURES)],
        pixels=torch.from_numpy((np.concatenate(pixels) + 128).clip(0, 255).astype(np.uint8)),
        sha256="0" * 64,
        preprocessing=preprocessing,
    )


def stream_of(network: FaceNetwork, album: Album) -> Stream:
    embeddings = scoring.embed_all(network, album, torch.arange(len(album.keys)))
    return Stream(
        owner=np.repeat(np.arange(PEOPLE), PICTURES),
        blocks=lambda: ((first, table.numpy()) for first, table in scoring.logit_blocks(network, embeddings)),
        similarity=lambda logits: similarity(logits.astype(np.float64)),
    )


def test_rates_of_the_sample_hold_over_every_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "MAX_PICTURES", SAMPLED)
    checkpoint = save_one(tmp_path / "old.safetensors", "residual")
    network = restore(checkpoint)
    album = album_of_crowd(checkpoint.header.preprocessing)
    sample = samples.sample_of_people(network, album, keep_alike=True)
    assert len(sample.owner) == SAMPLED < len(album.keys)
    found = recalibrated(checkpoint, network, sample, album.sha256, "code")
    assert found.description.calibration.made_on.startswith("150 people, 450 pictures")
    stream = stream_of(network, album)
    exact = {point.name: point for point in false_match_rates(stream, "every pair")[0]}
    points = found.description.operating_points
    assert [point.name for point in points] == [*exact]
    adjust = found.description.calibration.adjust
    for point in points:
        # The sample says how many pairs it has, and its interval covers the rate over all of them.
        assert point.pairs == 150 * 149 // 2 * PICTURES**2 < exact[point.name].pairs == stream.pairs
        accepted = sum(
            int((similarity(adjust(logits[strangers].astype(np.float64))) >= point.threshold).sum())
            for _, logits, strangers in stream.strangers()
        )
        low, high = point.interval
        assert low <= accepted / stream.pairs <= high
        assert accepted / stream.pairs == pytest.approx(exact[point.name].fmr, rel=0.2)
