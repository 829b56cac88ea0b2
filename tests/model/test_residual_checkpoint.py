"""Checkpoints of residual networks. Older checkpoints must keep their digests."""

import json
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from model.checkpoint import Description, load
from model.errors import CheckpointError
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.architecture import build, restore
from model.networks.configurations import NetworkConfig
from model.networks.embedder import save
from model.networks.residual import ResidualNetwork
from model.networks.siamese import SiameseNetwork
from model.similarity import OperatingPoint
from model.verifier import Verifier
from tests.conftest import TINY, describe
from tests.model.networks.test_residual import SLIM, network
from tests.model.support.checkpoints import edited, read_header, refused

POINT = OperatingPoint(
    name="fmr_1e-2", max_fmr=0.01, threshold=0.7, fmr=0.009, interval=(0.005, 0.012), split="held", pairs=900, people=30
)
COSINE = SLIM.model_copy(update={"head": "cosine"})


def description(points: tuple[OperatingPoint, ...] = (), threshold: float = 0.5) -> Description:
    preprocessing = PreprocessingConfig(side_px=SLIM.side_px, standardised=True)
    changes = {"network": SLIM, "preprocessing": preprocessing, "operating_points": points}
    return describe(threshold=threshold).model_copy(update=changes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "slim.safetensors"
    save(path, network().eval(), description((POINT,)))
    return path


def test_saved_network_loads_and_verifies(path: Path) -> None:
    checkpoint = load(path)
    assert checkpoint.header.network == SLIM
    assert checkpoint.header.operating_points == (POINT,)
    restored = restore(checkpoint)
    assert isinstance(restored, ResidualNetwork)
    assert not restored.training
    verifier = Verifier.of(checkpoint, "cpu")
    verifier.check_canary()
    pixels = (torch.rand(4, 32, 32, generator=torch.Generator().manual_seed(3)) * 255).byte().numpy()
    embeddings = verifier.embed(pixels)
    assert embeddings.shape == (4, 16)
    assert (verifier.compare(embeddings[:2], embeddings[2:]) == verifier.compare(embeddings[2:], embeddings[:2])).all()


def test_colour_network_is_saved_and_needs_colour_crops(tmp_path: Path) -> None:
    coloured = SLIM.model_copy(update={"input_channels": 3, "grey_views": (0,)})
    preprocessing = PreprocessingConfig(side_px=SLIM.side_px, standardised=True, colour="rgb")
    described = describe().model_copy(update={"network": coloured, "preprocessing": preprocessing})
    save(tmp_path / "coloured", network(coloured).eval(), described)
    verifier = Verifier.of(load(tmp_path / "coloured"), "cpu")
    verifier.check_canary()
    pixels = (torch.rand(2, 32, 32, 3, generator=torch.Generator().manual_seed(3)) * 255).byte().numpy()
    assert not (verifier.embed(pixels) == verifier.embed(pixels[..., ::-1].copy())).all()
    with pytest.raises(ValidationError, match="disagree on side_px or colour"):
        Description.model_validate({**dict(described), "network": SLIM})


def test_grey_networks_omit_the_fields_of_colour_networks() -> None:
    assert not {"input_channels", "grey_views"} & set(SLIM.model_dump())
    assert not {"input_channels", "grey_views"} & set(SLIM.model_dump(mode="json"))
    mixed = SLIM.model_copy(update={"input_channels": 3, "grey_views": (1,)}).model_dump(mode="json")
    assert (mixed["input_channels"], mixed["grey_views"]) == (3, [1])


def test_embedding_digest_covers_the_head_not_operating_points(path: Path, tmp_path: Path) -> None:
    before = load(path).header
    changed = network().eval()
    changed.head.scale.fill_(2)
    assert save(tmp_path / "a", changed, description((POINT,))).embedding_sha256 != before.embedding_sha256
    bare = save(tmp_path / "b", network().eval(), description())
    assert bare.embedding_sha256 == before.embedding_sha256
    assert bare.checkpoint_sha256 != before.checkpoint_sha256


def test_header_omits_absent_operating_points(checkpoint_path: Path) -> None:
    header = read_header(checkpoint_path)
    assert "operating_points" not in header
    assert "kind" not in header["network"]
    assert load(checkpoint_path).header.operating_points == ()
    assert "operating_points" not in json.loads(load(checkpoint_path).header.model_dump_json())


def test_edited_operating_point_is_refused(path: Path, tmp_path: Path) -> None:
    found = edited(path, tmp_path, lambda header: header["operating_points"][0].update(threshold=0.1))
    refused(found, "the header does not match its digest")


@pytest.mark.parametrize("kind", ["transformer", None, 7])
def test_unknown_kind_of_network_is_refused(path: Path, tmp_path: Path, kind: object) -> None:
    refused(edited(path, tmp_path, lambda header: header["network"].update(kind=kind)), "does not fit this version")


def test_residual_header_without_a_kind_is_refused(path: Path, tmp_path: Path) -> None:
    refused(edited(path, tmp_path, lambda header: header["network"].pop("kind")), "does not fit this version")


def test_unreachable_threshold_is_refused(tmp_path: Path) -> None:
    made = network(COSINE).eval()
    made.head.bias.fill_(-2)
    told = description(threshold=0.5).model_copy(update={"network": COSINE})
    with pytest.raises(CheckpointError, match=r"is above 0\.268941, the similarity of two identical crops"):
        save(tmp_path / "a", made, told)


def test_different_sides_are_refused() -> None:
    with pytest.raises(ValidationError, match="disagree on side_px"):
        Description(**{**dict(description()), "preprocessing": PreprocessingConfig()})


@pytest.mark.parametrize("config", [TINY, SLIM])
def test_each_configuration_builds_its_network(config: NetworkConfig) -> None:
    with torch.device("meta"):
        made = build(config)
    assert isinstance(made, SiameseNetwork if config is TINY else ResidualNetwork)
    assert made.config == config
