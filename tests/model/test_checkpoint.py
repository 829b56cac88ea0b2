"""Checkpoints load as they were saved, and their digests cover what they should."""

import shutil
from pathlib import Path

import pytest
import torch

from model.canary import canary_pair
from model.checkpoint import Description, Header, load
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.architecture import restore, round_to_storage
from model.networks.configurations import NetworkConfig
from model.networks.embedder import embed_pixels, save
from model.networks.heads import similarity
from model.similarity import Metric, Threshold
from tests.conftest import TINY, describe
from tests.model.support.checkpoints import read_header, tiny

VARIANTS = {
    "normalised": TINY,
    "plain": TINY.model_copy(update={"batch_norm": False, "embedding_activation": "sigmoid"}),
    "dropout": TINY.model_copy(update={"dropout": 0.5}),
    "smaller": TINY.model_copy(update={"channels": (2, 3, 4, 5), "dimension": 7}),
}
METRIC = Metric(name="accuracy", split="test", value=0.75, pairs=1000, interval=(0.72, 0.78))
THRESHOLD = Threshold(value=0.4, method="best accuracy", split="validation", pairs=440)


@pytest.mark.parametrize("name", VARIANTS)
def test_rounded_weights_load_bit_for_bit(tmp_path: Path, name: str) -> None:
    network = tiny(config=VARIANTS[name])
    round_to_storage(network)
    save(tmp_path / "weights", network, describe(VARIANTS[name]))
    loaded = restore(load(tmp_path / "weights"))
    assert loaded.config == VARIANTS[name]
    assert loaded.state_dict().keys() == network.state_dict().keys()
    for key, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, network.state_dict()[key]), key
        assert tensor.dtype == network.state_dict()[key].dtype


def test_saving_rounds_matrices_to_half_precision_and_keeps_vectors(tmp_path: Path) -> None:
    network = tiny()
    save(tmp_path / "weights", network, describe())
    loaded = restore(load(tmp_path / "weights")).state_dict()
    for key, tensor in network.state_dict().items():
        assert torch.equal(loaded[key], tensor.half().float() if tensor.ndim >= 2 else tensor), key
    assert not torch.equal(loaded["comparison.weight"], network.comparison.weight)


def test_restored_network_is_in_evaluation_mode_on_the_cpu(checkpoint_path: Path) -> None:
    network = restore(load(checkpoint_path))
    assert not any(module.training for module in network.modules())
    assert not any(weight.requires_grad for weight in network.parameters())
    assert {weight.dtype for weight in network.parameters()} == {torch.float32}
    assert {weight.device.type for weight in network.parameters()} == {"cpu"}


def test_restored_network_survives_changes_of_its_file(checkpoint_path: Path, tmp_path: Path) -> None:
    """Overwriting a file truncates it first, which would crash a process that has it mapped."""
    copy = tmp_path / "copy.safetensors"
    shutil.copyfile(checkpoint_path, copy)
    network = restore(load(copy))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with copy.open("r+b") as file:
        file.write(bytes(copy.stat().st_size))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_saving_does_not_change_the_network(tmp_path: Path) -> None:
    network = tiny().train()
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    save(tmp_path / "weights", network, describe())
    assert network.training
    assert all(weight.requires_grad for weight in network.parameters())
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())


def full_description() -> Description:
    return describe().model_copy(update={"metrics": (METRIC,), "threshold": THRESHOLD})


def test_header_contains_the_description(tmp_path: Path) -> None:
    network = tiny()
    round_to_storage(network)
    saved = save(tmp_path / "weights", network, full_description())
    assert load(tmp_path / "weights").header == saved
    assert Description(**{name: getattr(saved, name) for name in Description.model_fields}) == full_description()
    embeddings = embed_pixels(network, canary_pair((1, 105)), PreprocessingConfig())
    assert saved.canary_similarity == float(similarity(network.compare(*embeddings.chunk(2))).detach())
    assert len(saved.embedding_sha256) == len(saved.checkpoint_sha256) == 64


def test_header_is_plain_json(tmp_path: Path) -> None:
    saved = save(tmp_path / "weights", tiny(), full_description())
    header = read_header(tmp_path / "weights")
    assert header["format"] == "facepair-checkpoint-1"
    assert header["threshold"] == {"value": 0.4, "method": "best accuracy", "split": "validation", "pairs": 440}
    assert header["metrics"][0]["interval"] == [0.72, 0.78]
    assert Header.model_validate(header, strict=False) == saved


def test_rates_of_alike_pictures_need_thumbnails() -> None:
    rates = [{"condition": "alike", "likeness": 0.45}]
    with pytest.raises(ValueError, match="rates of pictures that are alike need embeddings with thumbnails"):
        Description.model_validate(describe().model_dump() | {"condition_rates": rates})


def test_saving_twice_writes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        save(tmp_path / name, tiny(), describe())
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_other_users_can_read_the_file(checkpoint_path: Path) -> None:
    assert checkpoint_path.stat().st_mode & 0o777 == 0o644


def digests(path: Path, description: Description, changed: str = "") -> tuple[str, str]:
    """The two digests of the tiny network, after a change of one value of the tensor `changed`."""
    network = tiny()
    if changed:
        values = network.state_dict()[changed].view(-1)
        values[-1] += 1
    header = save(path, network, description)
    return header.embedding_sha256, header.checkpoint_sha256


@pytest.mark.parametrize("change", [{"threshold": THRESHOLD}, {"metrics": (METRIC,)}, {"name": "another"},
                                    {"provenance": describe().provenance.model_copy(update={"seed": 1})}])  # fmt: skip
def test_metadata_changes_only_the_checkpoint_digest(tmp_path: Path, change: dict[str, object]) -> None:
    embedding, checkpoint = digests(tmp_path / "weights", describe())
    other_embedding, other_checkpoint = digests(tmp_path / "weights", describe().model_copy(update=change))
    assert embedding == other_embedding
    assert checkpoint != other_checkpoint


def test_every_tensor_changes_both_digests(tmp_path: Path) -> None:
    seen = [digests(tmp_path / "weights", describe())]
    seen += [digests(tmp_path / "weights", describe(), changed=name) for name in tiny().state_dict()]
    embeddings, checkpoints = zip(*seen, strict=True)
    assert len(set(embeddings)) == len(set(checkpoints)) == len(seen)


def test_architecture_and_preprocessing_change_both_digests(tmp_path: Path) -> None:
    sigmoid: NetworkConfig = TINY.model_copy(update={"embedding_activation": "sigmoid"})
    changes: list[dict[str, object]] = [{"network": sigmoid}, {"preprocessing": PreprocessingConfig(mean=0.4)}, {}]
    seen = [digests(tmp_path / "weights", describe().model_copy(update=change)) for change in changes]
    embeddings, checkpoints = zip(*seen, strict=True)
    assert len(set(embeddings)) == len(set(checkpoints)) == 3
