"""OpenVINO's embeddings compared with PyTorch's, for every kind of network, alone and in batches."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from app.settings import SHIPPED
from model.arrays import Pixels
from model.canary import canary_pair
from model.checkpoint import Checkpoint, Header, load
from model.cpu.embedder import CpuEmbedder, translate_faults
from model.errors import DeviceExhausted
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.architecture import restore, stored_tensors
from model.networks.configurations import NetworkConfig, ResidualConfig
from model.networks.embedder import embed_pixels
from model.verifier import Verifier
from tests.conftest import describe
from tests.model.support.networks import CONFIGS, random_network

ROOT = Path(__file__).parent.parent.parent.parent
WEIGHTS = sorted(SHIPPED.parent.glob("*.safetensors"))
each_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
each_shipped = pytest.mark.parametrize("path", WEIGHTS, ids=[path.stem for path in WEIGHTS])


def checkpoint_of(config: NetworkConfig | ResidualConfig, standardised: bool = False) -> Checkpoint:
    """A checkpoint of a random network, as it would be stored."""
    channels, side = config.input_shape
    preprocessing = PreprocessingConfig(
        side_px=side, colour="rgb" if channels == 3 else "grey", standardised=standardised, mean=0.4, std=0.3
    )
    description = describe(config, preprocessing=preprocessing)
    header = Header(**dict(description), canary_similarity=0.5, embedding_sha256="")
    return Checkpoint(header=header, tensors=stored_tensors(random_network(config)))


def crops(checkpoint: Checkpoint, count: int) -> Pixels:
    """The canary pair, noise, and a uniform crop."""
    pair = canary_pair(checkpoint.header.preprocessing.input_shape)
    noise = np.random.default_rng(0).integers(0, 256, (count - 3, *pair.shape[1:]), dtype=np.uint8)
    return np.concatenate([pair, noise, np.full_like(pair[:1], 77)])


def assert_equal_to_torch(checkpoint: Checkpoint) -> None:
    pixels = crops(checkpoint, 5)
    expected = embed_pixels(restore(checkpoint), pixels, checkpoint.header.preprocessing).numpy()
    found = CpuEmbedder(checkpoint).embed(pixels)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    assert np.abs(expected[0] - expected[2]).max() > 1e-3
    assert np.abs(found - expected).max() <= 1e-5 * max(1.0, float(np.abs(expected).max()))


@each_config
@pytest.mark.parametrize("standardised", [False, True])
def test_embeddings_equal_those_of_pytorch(config: NetworkConfig | ResidualConfig, standardised: bool) -> None:
    assert_equal_to_torch(checkpoint_of(config, standardised))


@each_shipped
def test_shipped_checkpoints_embed_as_with_pytorch(path: Path) -> None:
    checkpoint = load(path)
    assert_equal_to_torch(checkpoint)
    Verifier.of(checkpoint, "cpu").check_canary()


@each_config
@pytest.mark.parametrize("threads", [1, 3])
def test_embeddings_do_not_depend_on_the_batch(config: NetworkConfig | ResidualConfig, threads: int) -> None:
    checkpoint = checkpoint_of(config)
    embedder, pixels = CpuEmbedder(checkpoint, threads), crops(checkpoint, 7)
    together = embedder.embed(pixels)
    alone = np.concatenate([embedder.embed(pixels[each : each + 1]) for each in range(7)])
    backwards = embedder.embed(pixels[::-1])[::-1]
    assert np.abs(together - alone).max() <= 1e-5
    assert np.abs(together - backwards).max() <= 1e-5
    assert np.abs(together - embedder.embed(pixels, 1)).max() <= 1e-5


def test_calls_from_several_threads_get_their_own_results() -> None:
    checkpoint = checkpoint_of(CONFIGS["siamese"])
    embedder, pixels = CpuEmbedder(checkpoint, 2), crops(checkpoint, 8)
    expected = embedder.embed(pixels)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda each: embedder.embed(pixels[each : each + 1])[0], list(range(8)) * 5))
    assert np.abs(np.stack(found) - np.concatenate([expected] * 5)).max() <= 1e-5


def raising(error: Exception) -> Callable[[], None]:
    @translate_faults
    def work() -> None:
        raise error

    return work


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("Exception: std::bad_alloc")], ids=repr)
def test_errors_for_want_of_memory_become_device_exhausted(error: Exception) -> None:
    with pytest.raises(DeviceExhausted) as caught:
        raising(error)()
    assert str(error) in caught.value.__notes__[0]
    assert caught.value.__context__ is None


def test_other_errors_are_raised_unchanged() -> None:
    with pytest.raises(RuntimeError, match="shapes differ"):
        raising(RuntimeError("shapes differ"))()


def test_a_failed_part_leaves_no_pass_behind() -> None:
    checkpoint = checkpoint_of(CONFIGS["siamese"])
    embedder, pixels = CpuEmbedder(checkpoint, 2), crops(checkpoint, 4)
    with pytest.raises(RuntimeError):
        embedder.embed(pixels[:, :-1])
    assert len(embedder.embed(pixels)) == 4


def test_runtime_writes_and_sends_nothing(tmp_path: Path) -> None:
    """Its package for usage reports writes the device's identity below the home folder before it sends any."""
    program = (
        "import sys, socket\n"
        "def refuse(event, arguments):\n"
        "    if event.startswith(('socket.connect', 'socket.getaddrinfo', 'subprocess.Popen')): sys.exit(event)\n"
        "sys.addaudithook(refuse)\n"
        "from pathlib import Path\n"
        "from model.checkpoint import load\n"
        "from model.verifier import Verifier\n"
        f"Verifier.of(load(Path({str(SHIPPED)!r})), 'cpu').check_canary()\n"
        "sys.exit('torch' in sys.modules)"
    )
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / ".cache")}
    variables = {name: value for name, value in os.environ.items() if name != "CI"}
    subprocess.run([sys.executable, "-c", program], env=variables | home, cwd=ROOT, check=True, timeout=60)
    assert list(tmp_path.iterdir()) == []
