"""Loading refuses everything but valid checkpoints, in one line that names the file and the reason."""

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from model.checkpoint import METADATA_KEY, load
from model.errors import CheckpointError
from tests.model.support.checkpoints import refused, same, tiny

NOT_SAFETENSORS = "not a safetensors file"


def test_missing_file_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "none", "the file does not exist")


def test_folder_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, "cannot be read: Is a directory")


UNPRIVILEGED = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []


@pytest.mark.skipif(bool(UNPRIVILEGED) and not shutil.which("setpriv"), reason="root may read everything")
def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    """safetensors would report it as missing."""
    path = tmp_path / "weights"
    path.write_bytes(b"")
    path.chmod(0)
    code = "import sys, pathlib; from model.checkpoint import load; load(pathlib.Path(sys.argv[1]))"
    command = [*UNPRIVILEGED, sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].endswith(f"{path}: cannot be read: Permission denied")


@pytest.mark.parametrize("data", [b"", b"\0" * 8, b"\0" * 100, b"\xff" * 100, b"\x89PNG\r\n\x1a\n", b"{}", b"text\n"])
def test_other_formats_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "weights").write_bytes(data)
    refused(tmp_path / "weights", NOT_SAFETENSORS)


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.marker,)


def test_pickles_are_refused_and_not_executed(tmp_path: Path) -> None:
    payload = Payload(tmp_path / "executed")
    (tmp_path / "pickle").write_bytes(pickle.dumps(payload))
    torch.save({"weights": tiny().state_dict(), "payload": payload}, tmp_path / "torch")
    for name in ("pickle", "torch"):
        refused(tmp_path / name, NOT_SAFETENSORS)
    assert not payload.marker.exists()


@pytest.mark.parametrize("metadata", [None, {}, {"format": "pt"}])
def test_foreign_safetensors_are_refused(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    save_file({"weight": torch.zeros(3)}, tmp_path / "weights", metadata=metadata)
    refused(tmp_path / "weights", "not a facepair checkpoint")


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", "text", '{"net\\nwork": 1}'])
def test_foreign_headers_are_refused(tmp_path: Path, text: str) -> None:
    save_file({"weight": torch.zeros(3)}, tmp_path / "weights", metadata={METADATA_KEY: text})
    refused(tmp_path / "weights", "the header does not fit")


def test_truncated_files_are_refused(checkpoint_path: Path, tmp_path: Path) -> None:
    data = checkpoint_path.read_bytes()
    for length in [*range(0, 64, 3), *range(64, len(data), 499), len(data) - 1]:
        (tmp_path / "weights").write_bytes(data[:length])
        refused(tmp_path / "weights", NOT_SAFETENSORS)


def test_extra_byte_is_refused(checkpoint_path: Path, tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(checkpoint_path.read_bytes() + b"\0")
    refused(tmp_path / "weights", NOT_SAFETENSORS)


def test_flipped_bit_in_the_header_is_refused(checkpoint_path: Path, tmp_path: Path) -> None:
    """A bit may pass only if it changes how a value is written and not the value."""
    data = checkpoint_path.read_bytes()
    header_end = 8 + int.from_bytes(data[:8], "little")
    for position in [*range(8), *range(8, header_end, 5), header_end - 1]:
        flipped = bytearray(data)
        flipped[position] ^= 1 << position % 8
        (tmp_path / "weights").write_bytes(flipped)
        try:
            loaded = load(tmp_path / "weights")
        except CheckpointError:
            refused(tmp_path / "weights")
        else:
            assert same(loaded, load(checkpoint_path)), position


def test_flipped_bit_in_a_tensor_is_refused(checkpoint_path: Path, tmp_path: Path) -> None:
    data = checkpoint_path.read_bytes()
    header_end = 8 + int.from_bytes(data[:8], "little")
    for position in [*range(header_end, len(data), 97), len(data) - 1]:
        flipped = bytearray(data)
        flipped[position] ^= 1 << position % 8
        (tmp_path / "weights").write_bytes(flipped)
        refused(tmp_path / "weights")
