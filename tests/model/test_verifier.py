"""A verifier gives the same results in any batch and order, and notices a changed network."""

import math
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from model.arrays import Pixels
from model.canary import canary_pair
from model.checkpoint import Checkpoint, load
from model.errors import CheckpointError, InferenceError
from model.imaging.canary import canary_sha256
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.architecture import restore
from model.networks.embedder import normalise, to_unit
from model.networks.heads import similarity
from model.verifier import Verifier
from tests.app.support.modified_verifier import cpu_embedder, spoil
from tests.drawing import encode, portrait
from tests.model.support.pictures import prepare


def faces(count: int) -> Pixels:
    config = PreprocessingConfig()
    return np.stack([prepare(encode(portrait(person)), config) for person in range(count)])


@pytest.fixture
def checkpoint(checkpoint_path: Path) -> Checkpoint:
    """The tiny checkpoint, loaded for tests that damage it."""
    return load(checkpoint_path)


def test_results_have_the_documented_shapes_types_and_ranges(verifier: Verifier) -> None:
    embeddings = verifier.embed(faces(3))
    assert embeddings.dtype == np.float32
    assert embeddings.shape == (3, verifier.header.network.dimension)
    similarities = verifier.compare(embeddings, embeddings[[1, 2, 0]])
    assert similarities.dtype == np.float64
    assert similarities.shape == (3,)
    assert ((similarities > 0) & (similarities < 1)).all()


def test_results_equal_those_of_the_restored_network(verifier: Verifier, checkpoint: Checkpoint) -> None:
    pixels = faces(4)
    images = normalise(to_unit(torch.from_numpy(pixels)), checkpoint.header.preprocessing)
    network = restore(checkpoint)
    expected = network.embed(images)
    embeddings = verifier.embed(pixels)
    assert np.abs(embeddings - expected.numpy()).max() <= 1e-5
    scores = similarity(network.compare(expected[:2], expected[2:])).numpy()
    assert np.abs(verifier.compare(embeddings[:2], embeddings[2:]) - scores).max() <= 1e-5


def test_results_do_not_depend_on_the_batch(verifier: Verifier) -> None:
    pixels = faces(16)
    together = verifier.embed(pixels)
    alone = np.concatenate([verifier.embed(pixels[i : i + 1]) for i in range(16)])
    backwards = verifier.embed(pixels[::-1].copy())[::-1]
    assert np.abs(together - together[0]).max() > 0.1
    assert np.abs(together - alone).max() <= 1e-5
    assert np.abs(together - backwards).max() <= 1e-5
    similarities = verifier.compare(together, together[::-1].copy())
    for i in range(16):
        single = verifier.compare(alone[i : i + 1], alone[15 - i : 16 - i])
        assert abs(similarities[i] - single[0]) <= 1e-5


def test_similarity_is_symmetric(verifier: Verifier) -> None:
    embeddings = verifier.embed(faces(8))
    left, right = embeddings[:4], embeddings[4:]
    assert np.array_equal(verifier.compare(left, right), verifier.compare(right, left))


def test_embedding_is_deterministic(verifier: Verifier) -> None:
    assert np.array_equal(verifier.embed(faces(4)), verifier.embed(faces(4)))


def test_identical_crops_score_the_sigmoid_of_the_bias(verifier: Verifier, checkpoint: Checkpoint) -> None:
    embeddings = verifier.embed(faces(4))
    expected = 1 / (1 + math.exp(-checkpoint.tensors["comparison.bias"].item()))
    assert verifier.compare(embeddings, embeddings).tolist() == pytest.approx([expected] * 4, abs=1e-12)
    assert (verifier.compare(embeddings[:2], embeddings[2:]) < expected).all()


def test_canary_passes_for_an_unchanged_network(checkpoint: Checkpoint) -> None:
    Verifier.of(checkpoint, "cpu").check_canary()


def test_canary_pair_has_two_different_crops() -> None:
    pair = canary_pair((1, 105))
    assert pair.dtype == np.uint8
    assert pair.shape == (2, 105, 105)
    assert not np.array_equal(pair[0], pair[1])
    coloured = canary_pair((3, 105))
    assert np.array_equal(coloured[..., 0], pair)
    assert not np.array_equal(coloured[..., 0], coloured[..., 1])


@pytest.mark.parametrize("name", ["twin.0.weight", "twin.1.running_var", "fully_connected.weight", "comparison.bias"])
def test_canary_fails_for_a_changed_weight(checkpoint: Checkpoint, name: str) -> None:
    checkpoint.tensors[name][...] *= 1.5
    verifier = Verifier.of(checkpoint, "cpu")
    with pytest.raises(CheckpointError, match=f"but the checkpoint records {verifier.header.canary_similarity:.6f}"):
        verifier.check_canary()


@pytest.mark.parametrize("factor", [0, 1.001])
def test_canary_fails_for_changed_embeddings_with_the_same_score(checkpoint: Checkpoint, factor: float) -> None:
    """A similarity near 1 stays there for other embeddings too."""
    checkpoint.tensors["comparison.bias"].fill(20)
    verifier = Verifier.of(recording(checkpoint, 1.0), "cpu")
    verifier.check_canary()
    embedder = cpu_embedder(verifier)
    embed = embedder.embed
    embedder.embed = lambda pixels, threads=None: embed(pixels, threads) * np.float32(factor)  # type: ignore[method-assign]
    with pytest.raises(CheckpointError, match="embeddings on cpu"):
        verifier.check_canary()


def test_canary_fails_for_other_preprocessing(checkpoint: Checkpoint) -> None:
    header = checkpoint.header.model_copy(update={"preprocessing": PreprocessingConfig(mean=0.2)})
    with pytest.raises(CheckpointError, match="canary"):
        Verifier.of(Checkpoint(header=header, tensors=checkpoint.tensors), "cpu").check_canary()


def test_canary_photo_with_other_crops_fails(checkpoint: Checkpoint) -> None:
    found = canary_sha256(checkpoint.header.preprocessing)
    for recorded in ("", found):
        header = checkpoint.header.model_copy(update={"canary_photo_sha256": recorded})
        Verifier.of(Checkpoint(header=header, tensors=checkpoint.tensors), "cpu").check_canary()
    header = checkpoint.header.model_copy(update={"canary_photo_sha256": found[::-1]})
    with pytest.raises(CheckpointError, match="the canary photo gives other crops than in training: install"):
        Verifier.of(Checkpoint(header=header, tensors=checkpoint.tensors), "cpu").check_canary()


@pytest.mark.parametrize("sign", [-1, 1])
def test_canary_tolerance_on_a_cpu_is_one_in_ten_thousand(checkpoint: Checkpoint, sign: int) -> None:
    recorded = checkpoint.header.canary_similarity
    almost, beyond = (recorded + sign * off for off in (0.9e-4, 1.1e-4))
    Verifier.of(recording(checkpoint, almost), "cpu").check_canary()
    with pytest.raises(CheckpointError, match=f"but the checkpoint records {beyond:.6f}"):
        Verifier.of(recording(checkpoint, beyond), "cpu").check_canary()


def recording(checkpoint: Checkpoint, similarity: float) -> Checkpoint:
    """The checkpoint with another similarity of the canary pair in its header."""
    header = checkpoint.header.model_copy(update={"canary_similarity": similarity})
    return Checkpoint(header=header, tensors=checkpoint.tensors)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_that_are_not_finite_raise_errors(checkpoint: Checkpoint, value: float) -> None:
    verifier = Verifier.of(checkpoint, "cpu")
    sound = verifier.embed(faces(2))
    cpu_embedder(verifier).embed = Mock(return_value=np.full_like(sound, value))  # type: ignore[method-assign]
    spoil(cpu_embedder(verifier))
    with pytest.raises(InferenceError):
        verifier.embed(faces(2))
    with pytest.raises(InferenceError):
        verifier.compare(sound[:1], sound[1:])
    with pytest.raises(CheckpointError):
        verifier.check_canary()


def test_one_bad_similarity_in_a_batch_raises(verifier: Verifier) -> None:
    sound = verifier.embed(faces(3))
    broken = sound.copy()
    broken[1, 0] = math.nan
    with pytest.raises(InferenceError):
        verifier.compare(sound, broken)
