"""The residual network: its sizes, its embeddings, its mirror images."""

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from model.networks.configurations import ResidualConfig
from model.networks.residual import ResidualNetwork, Tower, central_region, initialise, standardise

COLOURED = ResidualConfig(input_channels=3)
MIXED = COLOURED.model_copy(update={"grey_views": (1,)})
# With 4 channels a training step of torch 2.15.0 damages its own heap on processors that have AVX2 and no AVX-512.
SLIM = ResidualConfig(side_px=32, views=(1.0, 0.75), view_px=24, channels=(8, 8, 12, 16), dimension=16)


def network(config: ResidualConfig = SLIM, seed: int = 0) -> ResidualNetwork:
    made = ResidualNetwork(config)
    initialise(made, torch.Generator().manual_seed(seed))
    return made


def pictures(count: int, side_px: int = 32) -> Tensor:
    return torch.randn(count, 1, side_px, side_px, generator=torch.Generator().manual_seed(1))


def multiplications(config: ResidualConfig) -> int:
    """The multiplications of one call of `embed`, counted at the layers."""
    with torch.device("meta"):
        made, picture = ResidualNetwork(config).eval(), torch.empty(1, config.input_channels, *[config.side_px] * 2)
    total = 0

    def count(layer: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        total += output.numel() * layer.get_parameter("weight")[0].numel()

    for layer in made.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    made.embed(picture)
    return total


def test_default_network_is_within_its_limits() -> None:
    """At most 5 million parameters, and 300 million multiplications for a face with its mirror image."""
    with torch.device("meta"):
        parameters = sum(tensor.numel() for tensor in ResidualNetwork(COLOURED).parameters())
    assert parameters == 2 * 2_309_408 <= 5_000_000
    assert multiplications(COLOURED.model_copy(update={"flip_average": False})) == 2 * 58_073_088
    assert multiplications(COLOURED) == 4 * 58_073_088 <= 300_000_000
    assert multiplications(MIXED) < multiplications(COLOURED)


@pytest.mark.parametrize("view_px", [16, 32, 33, 64, 70])
def test_features_equal_the_output_of_the_trunk(view_px: int) -> None:
    config = SLIM.model_copy(update={"view_px": view_px})
    for tower in network(config).towers:
        assert isinstance(tower, Tower)
        assert tower.trunk(pictures(2, view_px)).flatten(1).shape == (2, config.features)


def test_each_tower_sees_its_region_and_gives_its_part() -> None:
    made, images = network().eval(), pictures(3)
    whole = made(images)
    inner = images.clone()
    inner[:, :, :4], inner[:, :, -4:], inner[..., :4], inner[..., -4:] = 0, 0, 0, 0
    framed = made(inner)
    assert not torch.allclose(framed[:, :8], whole[:, :8], atol=1e-3)
    assert torch.equal(framed[:, 8:], whole[:, 8:])
    for part in whole.chunk(2, dim=1):
        assert torch.allclose(part.norm(dim=1), torch.full((3,), 0.5**0.5), atol=1e-6)


def test_region_is_the_square_around_the_centre() -> None:
    images = pictures(2, 10)
    assert torch.equal(central_region(images, 1.0, 10), images)
    assert torch.equal(central_region(images, 0.6, 6), images[..., 2:8, 2:8])
    halved = central_region(torch.ones(1, 1, 8, 8), 1.0, 4)
    assert torch.allclose(halved, torch.ones(1, 1, 4, 4))
    slope = torch.arange(8.0).expand(1, 1, 8, 8)
    assert torch.allclose(central_region(slope, 0.5, 4), torch.arange(2.0, 6.0).expand(1, 1, 4, 4))
    middle = central_region(slope, 1.0, 4)[0, 0, 0]
    assert torch.allclose(middle + middle.flip(0), torch.full((4,), 7.0))


def test_grey_region_sees_only_the_luma() -> None:
    """It sees of a standardised crop what a grey network sees of the standardised grey crop."""
    config = SLIM.model_copy(update={"input_channels": 3, "grey_views": (1,)})
    assert config.region_channels == (3, 1)
    mixed, grey = network(config).eval(), network(SLIM).eval()
    grey.towers[1].load_state_dict(mixed.towers[1].state_dict())
    colours = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    red, green, blue = colours.unbind(1)
    without = (0.299 * red + 0.587 * green + 0.114 * blue)[:, None]
    seen = mixed(standardise(colours)).chunk(2, dim=1)
    assert torch.allclose(seen[1], grey(standardise(without)).chunk(2, dim=1)[1], atol=1e-5)
    turned = mixed(standardise(colours[:, [1, 2, 0]])).chunk(2, dim=1)
    assert not torch.allclose(seen[0], turned[0], atol=1e-3)


def test_dimension_must_be_a_multiple_of_the_regions() -> None:
    with pytest.raises(ValidationError, match="multiple of the number of views"):
        ResidualConfig.model_validate({**SLIM.model_dump(), "dimension": 17})


@pytest.mark.parametrize("flip_average", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_embeddings_have_unit_length(flip_average: bool, training: bool) -> None:
    made = network(SLIM.model_copy(update={"flip_average": flip_average})).train(training)
    embeddings = made.embed(pictures(5))
    assert embeddings.shape == (5, 16)
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(5), atol=1e-6)


def test_mirror_image_counts_only_in_evaluation() -> None:
    made, images = network().eval(), pictures(3)
    straight, mirrored = made(images), made(images.flip(3))
    for one, other, both in zip(straight, mirrored, made.embed(images), strict=True):
        added = one + other
        assert torch.allclose(both, added / added.norm(), atol=1e-6)
    assert torch.allclose(made.embed(images), made.embed(images.flip(3)), atol=1e-6)
    assert not torch.allclose(straight, mirrored, atol=1e-3)
    plain = network(SLIM.model_copy(update={"flip_average": False})).eval()
    assert torch.equal(plain.embed(images), plain(images))
    made.train()
    assert torch.equal(made.embed(images), made(images))


def test_embedding_does_not_depend_on_its_batch() -> None:
    made, images = network().eval(), pictures(6)
    together = made.embed(images)
    for index in range(6):
        assert torch.allclose(made.embed(images[index : index + 1])[0], together[index], atol=1e-5)


@pytest.mark.parametrize("head", ["cosine", "joint-bayesian"])
def test_compare_is_symmetric(head: str) -> None:
    made = network(ResidualConfig.model_validate({**SLIM.model_dump(), "head": head})).eval()
    left, right = made.embed(pictures(8)).chunk(2)
    assert torch.equal(made.compare(left, right), made.compare(right, left))
    assert made.compare(left, right).shape == (4,)


def test_weights_depend_only_on_the_given_generator() -> None:
    first, again, other = network(), network(), network(seed=1)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(*(next(made.towers[0].parameters()) for made in (first, other)))
    assert not torch.equal(*(next(tower.parameters()) for tower in first.towers))


def test_every_parameter_has_a_gradient() -> None:
    made = network().train()
    made.embed(pictures(4)).square().mul(torch.arange(16)).sum().backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.abs().sum() > 0), name


@pytest.mark.parametrize(
    "wrong",
    [
        {"side_px": 15},
        {"view_px": 15},
        {"views": []},
        {"views": [1.1]},
        {"dimension": 0},
        {"head": "linear"},
        {"grey_views": [0]},
        {"input_channels": 3, "grey_views": [2]},
        {"input_channels": 3, "grey_views": [-1]},
        {"kind": "siamese"},
        {"batch_norm": True},
    ],
)
def test_invalid_configurations_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ResidualConfig.model_validate({**SLIM.model_dump(), **wrong})


THUMBNAIL = SLIM.model_copy(
    update={"thumbnail_cells": 8, "thumbnail_values": 6, "dimension": 22, "flip_average": False}
)


def test_an_embedding_ends_with_the_thumbnail() -> None:
    made = network(THUMBNAIL).eval()
    assert made.thumbnail
    draws = torch.Generator().manual_seed(2)
    made.thumbnail.mean.normal_(generator=draws)
    made.thumbnail.projection.normal_(generator=draws)
    shown = pictures(3)
    embeddings = made.embed(shown)
    for picture, embedding in zip(shown, embeddings, strict=True):
        cells = torch.stack([part.mean() for row in picture[0].split(4) for part in row.split(4, dim=1)])
        values = made.thumbnail.projection @ (cells - made.thumbnail.mean)
        assert torch.allclose(embedding[16:], values / values.norm() / 2**0.5, atol=1e-6)
    assert torch.allclose(embeddings[:, :16], made(shown) / 2**0.5, atol=1e-6)
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(3))


def test_before_it_is_fitted_the_head_compares_what_the_towers_give() -> None:
    made = network(THUMBNAIL).eval()
    assert made.thumbnail
    made.thumbnail.projection.normal_(generator=torch.Generator().manual_seed(2))
    left, right = made.embed(pictures(4)).chunk(2)
    assert torch.allclose(made.compare(left, right), (left[:, :16] * right[:, :16]).sum(1), atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"thumbnail_cells": 8}, "both thumbnail_cells and thumbnail_values"),
        ({"thumbnail_cells": 7, "thumbnail_values": 6, "dimension": 22}, "must divide side_px"),
        ({"thumbnail_cells": 8, "thumbnail_values": 6, "dimension": 22, "head": "cosine"}, "joint-bayesian"),
        ({"thumbnail_cells": 8, "thumbnail_values": 6, "dimension": 21}, "multiple of the number of views"),
        ({"thumbnail_cells": 8, "thumbnail_values": 16}, "multiple of the number of views"),
        (
            {"thumbnail_cells": 8, "thumbnail_values": 6, "dimension": 22, "flip_average": True},
            "leave out flip_average",
        ),
    ],
)
def test_impossible_thumbnails_are_refused(changes: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        ResidualConfig(**{**SLIM.model_dump(), **changes})
