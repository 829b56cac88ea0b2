"""A service that cannot start ends with status 1 and says why in one line.

A process shows that for errors before and after the checkpoint is loaded; the other errors that come after it, which
`main` prints alike, are raised in this process, which is faster.
"""

import socket
from pathlib import Path

import pytest

from app.server.replica import open_replica
from app.settings import read_settings
from model.errors import FacepairError
from model.networks.embedder import save
from tests.app.support.service import HOST, start_in_vain
from tests.conftest import describe, fork_server, tiny_network
from training.learning.experiments import ALIGNED, LFW_ALIGNMENT


@pytest.fixture
def damaged(checkpoint_path: Path, tmp_path: Path) -> Path:
    """A checkpoint with one bit turned in its last tensor."""
    data = bytearray(checkpoint_path.read_bytes())
    data[-1] ^= 1
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(data)
    return path


def refuses(*flags: str, **variables: str) -> str:
    """The one line of a start that fails."""
    ended = start_in_vain("--port", "0", *flags, variables=variables)
    assert ended.returncode == 1, ended.stderr
    assert ended.stdout == ""
    [line] = ended.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def opening_fails(**values: object) -> str:
    """The message of the error with which a replica is not opened."""
    settings = read_settings({"device": "cpu", **values}, environment={})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.server.replica.ForkServer", lambda _: fork_server())
        with pytest.raises(FacepairError) as error:
            open_replica(settings)
    return str(error.value)


def test_fails_with_a_damaged_checkpoint(damaged: Path) -> None:
    line = refuses("--device", "cpu", "--weights", str(damaged))
    assert str(damaged) in line
    assert "damaged" in line


def test_fails_without_its_checkpoint(tmp_path: Path) -> None:
    missing = tmp_path / "missing.safetensors"
    assert str(missing) in opening_fails(weights=missing)


def test_fails_with_a_gpu_that_is_not_there(checkpoint_path: Path) -> None:
    assert "cuda:99" in opening_fails(weights=checkpoint_path, device="cuda:99")


def test_fails_with_an_unknown_variable(checkpoint_path: Path) -> None:
    line = refuses("--weights", str(checkpoint_path), FACEPAIR_THRESHOLD="0.5")
    assert "FACEPAIR_THRESHOLD is not a setting" in line


@pytest.mark.parametrize("name", ["taken", "no name of a host"])
def test_fails_with_an_address_that_it_cannot_have(checkpoint_path: Path, name: str) -> None:
    with socket.create_server((HOST, 0)) as taken:
        host, port = {"taken": (HOST, taken.getsockname()[1]), "no name of a host": ("a..b", 0)}[name]
        line = refuses("--weights", str(checkpoint_path), "--host", host, "--port", str(port))
    assert line.startswith(f"error: cannot listen on {host} port {port}: ")


def test_fails_with_a_setting_twice(checkpoint_path: Path) -> None:
    line = refuses("--weights", str(checkpoint_path), FACEPAIR_QUEUE="9", facepair_queue="8")
    assert "twice" in line


def test_fails_with_a_checkpoint_made_with_another_detector(tmp_path: Path) -> None:
    foreign = LFW_ALIGNMENT.model_copy(update={"detector_sha256": "0" * 64})
    path = tmp_path / "foreign.safetensors"
    save(path, tiny_network(), describe(preprocessing=ALIGNED.model_copy(update={"alignment": foreign})))
    message = opening_fails(weights=path)
    assert "the face detector has digest" in message
    assert "0" * 12 in message


def test_fails_without_its_detector(aligned_checkpoint_path: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing.onnx"
    assert str(missing) in opening_fails(weights=aligned_checkpoint_path, detector=missing)


def test_fails_without_a_decoder(checkpoint_path: Path) -> None:
    flags = ("--device", "cpu", "--weights", str(checkpoint_path), "--port", "0")
    ended = start_in_vain(*flags, module="tests.app.support.no_decoders")
    assert ended.returncode == 1
    line = ended.stderr.splitlines()[-1]
    assert line == "error: no decoder could be started: it ended before it was ready"
