import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from model.networks.configurations import NetworkConfig
from model.networks.siamese import SiameseNetwork, initialise
from tests.conftest import TINY
from tests.model.support.checkpoints import tiny

PAPER = NetworkConfig(batch_norm=False, embedding_activation="sigmoid")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int, seed: int = 1, side_px: int = 105) -> Tensor:
    return torch.rand(count, 1, side_px, side_px, generator=generator(seed)) * 2 - 1


def sides(config: NetworkConfig) -> list[int]:
    """The side at the input and after each layer that changes it, without computing anything."""
    with torch.device("meta"):
        flow = torch.empty(1, 1, config.side_px, config.side_px)
        seen = [config.side_px]
        for layer in SiameseNetwork(config).twin:
            flow = layer(flow)
            if flow.shape[-1] != seen[-1]:
                seen.append(flow.shape[-1])
    return seen


def variant(
    batch_norm: bool = False, activation: str = "sigmoid", dropout: float = 0.0, side_px: int = 105
) -> NetworkConfig:
    return NetworkConfig.model_validate(
        {**TINY.model_dump(), "batch_norm": batch_norm, "embedding_activation": activation, "dropout": dropout}
        | {"side_px": side_px}
    )


def test_sizes_are_those_of_the_paper() -> None:
    assert sides(PAPER) == [105, 96, 48, 42, 21, 18, 9, 6]
    assert PAPER.features == 9216
    with torch.device("meta"):
        network = SiameseNetwork(PAPER)
        embedding = network.embed(torch.empty(2, 1, 105, 105))
        assert network.compare(embedding, embedding).shape == (2,)
    assert embedding.shape == (2, 4096)


def test_weights_have_the_shapes_of_the_paper() -> None:
    with torch.device("meta"):
        shapes = [tuple(weight.shape) for weight in SiameseNetwork(PAPER).parameters()]
    convolutions = [(64, 1, 10, 10), (128, 64, 7, 7), (128, 128, 4, 4), (256, 128, 4, 4)]
    expected: list[tuple[int, ...]] = [*convolutions, (4096, 9216), (1, 4096)]
    assert [shape for shape in shapes if len(shape) > 1] == expected
    assert [shape for shape in shapes if len(shape) == 1] == [(shape[0],) for shape in expected]


@pytest.mark.parametrize("batch_norm", [False, True])
def test_batch_normalisation_follows_each_convolution_or_none(batch_norm: bool) -> None:
    layers = list(SiameseNetwork(variant(batch_norm=batch_norm)).twin)
    block = [nn.Conv2d, *([nn.BatchNorm2d] if batch_norm else []), nn.ReLU, nn.MaxPool2d]
    assert [type(layer) for layer in layers] == (block * 4)[:-1]


@pytest.mark.parametrize("side_px", [66, 80, 105, 131])
def test_features_equal_the_output_of_the_twin(side_px: int) -> None:
    config = variant(side_px=side_px)
    with torch.device("meta"):
        assert SiameseNetwork(config).twin(torch.empty(1, 1, side_px, side_px)).numel() == config.features


@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
def test_activation_is_applied_to_the_embedding(activation: str) -> None:
    network = tiny(config=variant(activation=activation))
    raw = network.fully_connected(network.twin(images(4)).flatten(1))
    assert (raw < 0).any()
    expected = 1 / (1 + torch.exp(-raw)) if activation == "sigmoid" else raw.clamp(min=0)
    torch.testing.assert_close(network.embed(images(4)), expected)


def test_dropout_applies_only_in_training_mode() -> None:
    network = tiny(config=variant(dropout=0.5))
    whole = network.embed(images(8))
    assert torch.equal(whole, network.embed(images(8)))
    assert (whole > 0).all()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        dropped = network.train().embed(images(8))
    kept = dropped != 0
    assert 0.3 < kept.float().mean() < 0.7
    torch.testing.assert_close(dropped[kept], 2 * whole[kept])


def test_without_dropout_training_mode_keeps_everything() -> None:
    network = tiny(config=variant())
    whole = network.embed(images(4))
    assert torch.equal(network.train().embed(images(4)), whole)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_forward_embeds_and_compares(batch_norm: bool) -> None:
    network = tiny(config=variant(batch_norm=batch_norm))
    left, right = images(5, seed=1), images(5, seed=2)
    torch.testing.assert_close(network(left, right), network.compare(network.embed(left), network.embed(right)))


def test_forward_embeds_both_sides_in_one_batch() -> None:
    network = tiny().train()
    left, right = images(3, seed=1), images(3, seed=2)
    together = network.embed(torch.cat([left, right]))
    assert torch.equal(network(left, right), network.compare(together[:3], together[3:]))
    apart = network.compare(network.embed(left), network.embed(right))
    assert not torch.allclose(network(left, right), apart)


def test_compare_equals_a_loop() -> None:
    network = tiny()
    initialise(network, generator(5))
    left, right = (torch.randn(4, TINY.dimension, generator=generator(seed)) for seed in (1, 2))
    weights, bias = network.comparison.weight[0].tolist(), network.comparison.bias.item()
    expected = []
    for row in range(4):
        logit = bias
        for i in range(TINY.dimension):
            logit += weights[i] * abs(left[row, i].item() - right[row, i].item())
        expected.append(logit)
    assert network.compare(left, right).tolist() == pytest.approx(expected, abs=1e-5)


def test_compare_is_symmetric() -> None:
    network = tiny()
    left, right = network.embed(images(4, seed=1)), network.embed(images(4, seed=2))
    assert torch.equal(network.compare(left, right), network.compare(right, left))


def test_embeddings_do_not_depend_on_the_memory_format() -> None:
    network = tiny()
    expected = network.embed(images(3))
    network.to(memory_format=torch.channels_last)
    found = network.embed(images(3).contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("wrong", [{"side_px": 65}, {"dropout": 1.0}, {"dropout": -0.1}, {"dimension": 0}, {"depth": 4},
                                   {"embedding_activation": "tanh"}, {"channels": (4, 4, 8)}])  # fmt: skip
def test_invalid_configurations_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        NetworkConfig.model_validate({**TINY.model_dump(), **wrong})
