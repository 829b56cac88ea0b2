"""A checkpoint's calibration: applied once, above every runtime, outside the embeddings' digest."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from model.arrays import Embeddings
from model.averaging import scale_parts
from model.checkpoint import Checkpoint, load
from model.errors import CheckpointError
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.architecture import restore
from model.networks.calibrated import CalibratedNetwork, restore_calibrated
from model.networks.configurations import ResidualConfig
from model.networks.embedder import TorchEmbedder, embed_pixels, save
from model.networks.residual import ResidualNetwork, initialise
from model.similarity import Calibration, similarity
from model.verifier import Verifier
from tests.conftest import TINY, describe, tiny_network
from tests.model.cpu.test_embedder import crops
from tests.model.support.checkpoints import edited, read_header, refused

COSINE = ResidualConfig(side_px=32, view_px=16, channels=(4, 4, 6, 8), dimension=16, head="cosine")
MEAN = tuple(np.linspace(-0.2, 0.3, 16).tolist())
CALIBRATION = Calibration(mean=MEAN, scale=3.0, bias=-0.5)


def save_calibrated(path: Path, calibration: Calibration, threshold: float = 0.5) -> Checkpoint:
    """A checkpoint of the same small network with any calibration."""
    network = ResidualNetwork(COSINE)
    initialise(network, torch.Generator().manual_seed(0))
    preprocessing = PreprocessingConfig(side_px=32, crop=0.8, standardised=True)
    changed = {"network": COSINE, "preprocessing": preprocessing, "calibration": calibration}
    save(path, network.eval(), describe(threshold=threshold).model_copy(update=changed))
    return load(path)


def by_hand(left: Embeddings, right: Embeddings) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The calibrated logits of the small network, whose uncalibrated logit is the cosine."""
    sides = [(side.astype(float) - MEAN) for side in (left, right)]
    cosines = (sides[0] * sides[1]).sum(1) / np.prod([np.linalg.norm(side, axis=1) for side in sides], axis=0)
    return np.asarray(3 * cosines - 0.5)


def test_stored_embeddings_stay_valid_and_their_similarities_are_calibrated(tmp_path: Path) -> None:
    plain = save_calibrated(tmp_path / "plain.safetensors", Calibration())
    calibrated = save_calibrated(tmp_path / "calibrated.safetensors", CALIBRATION)
    assert calibrated.header.embedding_sha256 == plain.header.embedding_sha256
    assert calibrated.header.checkpoint_sha256 != plain.header.checkpoint_sha256
    before, after = (Verifier.of(each, "cpu") for each in (plain, calibrated))
    pixels = crops(plain, 6)
    stored = before.embed(pixels)
    assert np.array_equal(after.embed(pixels), stored)
    similarities = after.compare(stored[:3], stored[3:])
    assert similarities.dtype == np.float64
    assert similarities == pytest.approx(1 / (1 + np.exp(-by_hand(stored[:3], stored[3:]))), abs=1e-6)
    assert np.abs(similarities - before.compare(stored[:3], stored[3:])).min() > 0.01
    assert np.array_equal(similarities, after.compare(stored[3:], stored[:3]))


def test_every_runtime_gives_the_calibrated_similarity(tmp_path: Path) -> None:
    calibrated = save_calibrated(tmp_path / "calibrated.safetensors", CALIBRATION)
    served = Verifier.of(calibrated, "cpu")
    with_torch = Verifier(calibrated.header, TorchEmbedder(calibrated, torch.device("cpu")))
    stored = served.embed(crops(calibrated, 6))
    expected = served.compare(stored[:3], stored[3:])
    assert with_torch.compare(stored[:3], stored[3:]) == pytest.approx(expected, abs=1e-6)
    measured = restore_calibrated(calibrated)
    left, right = torch.from_numpy(stored[:3]), torch.from_numpy(stored[3:])
    assert measured.compare(left, right).sigmoid().numpy() == pytest.approx(expected, abs=1e-6)
    assert measured.logit_table(left, right).diagonal().sigmoid().numpy() == pytest.approx(expected, abs=1e-6)


def test_canary_is_recorded_and_checked_before_the_calibration(tmp_path: Path) -> None:
    plain = save_calibrated(tmp_path / "plain.safetensors", Calibration())
    calibrated = save_calibrated(tmp_path / "calibrated.safetensors", CALIBRATION)
    assert calibrated.header.canary_similarity == plain.header.canary_similarity
    Verifier.of(calibrated, "cpu").check_canary()


def test_header_has_no_calibration_unless_there_is_one(checkpoint_path: Path, tmp_path: Path) -> None:
    assert "calibration" not in read_header(checkpoint_path)
    assert load(checkpoint_path).header.calibration == Calibration()
    save_calibrated(tmp_path / "scaled.safetensors", Calibration(scale=2.0))
    assert read_header(tmp_path / "scaled.safetensors")["calibration"] == {"scale": 2.0, "bias": 0.0}


def test_edited_calibration_is_refused(tmp_path: Path) -> None:
    save_calibrated(tmp_path / "calibrated.safetensors", CALIBRATION)
    path = edited(tmp_path / "calibrated.safetensors", tmp_path, header=lambda each: each["calibration"].update(bias=1))
    refused(path, "header does not match its digest")


@pytest.mark.parametrize(
    "changes", [{"scale": 0.0}, {"scale": -1.0}, {"bias": float("inf")}, {"mean": (float("nan"),)}]
)
def test_calibrations_that_would_reverse_or_break_similarities_are_refused(changes: Mapping[str, object]) -> None:
    with pytest.raises(ValidationError):
        Calibration.model_validate(changes)


@pytest.mark.parametrize(("config", "length"), [(COSINE, 15), (TINY, 32)])
def test_mean_fits_the_embeddings_and_needs_length_one(config: ResidualConfig, length: int) -> None:
    preprocessing = PreprocessingConfig(side_px=config.side_px)
    description = describe(config, preprocessing=preprocessing).model_dump()
    with pytest.raises(ValidationError, match="mean needs embeddings of length 1 and as many values"):
        type(describe()).model_validate(description | {"calibration": {"mean": [0.1] * length}})


def test_parts_of_centred_embeddings_keep_their_share_of_the_length() -> None:
    """As in the mean of several photographs: a subtracted mean may take more of one part than of another."""
    draws = np.random.default_rng(0)
    rows = draws.normal(size=(5, 6))
    scale_parts(rows, (4, 2))
    mean = [0.3, -0.1, 0.2, 0.05, 0.6, -0.3]
    centred = Calibration.centring(mean, (4, 2)).centre(rows.astype(np.float32))
    for row, found in zip(rows, centred, strict=True):
        for part in (slice(4), slice(4, 6)):
            apart = row[part] - mean[part]
            assert found[part] == pytest.approx(apart / np.linalg.norm(apart) / np.sqrt(2), abs=1e-6)
    whole = Calibration.centring(mean, (6,)).centre(rows.astype(np.float32))
    assert whole == pytest.approx((rows - mean) / np.linalg.norm(rows - mean, axis=1, keepdims=True), abs=1e-6)


def test_parts_of_another_network_are_refused() -> None:
    calibration = {"mean": [0.1] * 16, "unit_parts": [12, 4]}
    description = describe(COSINE, preprocessing=PreprocessingConfig(side_px=32)).model_dump()
    with pytest.raises(ValidationError, match="the calibration's unit_parts are not those of the network"):
        type(describe()).model_validate(description | {"calibration": calibration})


def test_embedding_that_equals_the_mean_has_a_similarity() -> None:
    mean = np.full((1, 4), 0.5, np.float32)
    assert np.array_equal(Calibration(mean=(0.5,) * 4).centre(mean), np.zeros((1, 4)))


def test_threshold_above_the_calibrated_similarity_of_identical_crops_is_refused(tmp_path: Path) -> None:
    identical = 1 / (1 + np.exp(-(2.0 - 1)))
    weak = Calibration(scale=2.0, bias=-1.0)
    save_calibrated(tmp_path / "below.safetensors", weak, threshold=identical - 1e-5)
    with pytest.raises(CheckpointError, match="the similarity of two identical crops"):
        save_calibrated(tmp_path / "above.safetensors", weak, threshold=identical + 1e-5)


def test_calibrated_network_keeps_its_embeddings_and_says_what_identical_crops_score(tmp_path: Path) -> None:
    checkpoint = save_calibrated(tmp_path / "calibrated.safetensors", CALIBRATION)
    raw, calibrated = restore(checkpoint), restore_calibrated(checkpoint)
    config = checkpoint.header.preprocessing
    embeddings = [embed_pixels(each, crops(checkpoint, 4), config) for each in (raw, calibrated)]
    assert torch.equal(*embeddings)
    logit = calibrated.identical_logit()
    assert logit is not None
    assert float(logit) == pytest.approx(2.5, abs=1e-4)
    assert calibrated.calibrated == raw.calibrated
    siamese = CalibratedNetwork(tiny_network(), Calibration(bias=1.0))
    assert not siamese.calibrated
    left, right = torch.rand(2, 3, 32)
    assert torch.equal(siamese.compare(left, right), siamese.network.compare(left, right) + 1)


def test_similarity_is_the_sigmoid_of_the_logit() -> None:
    assert similarity(np.array([0.0, 2.0])).tolist() == pytest.approx([0.5, 1 / (1 + np.exp(-2))])
