"""Shared fixtures with small real parts: a narrow network's checkpoint, a folder of drawn people, the application."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from fastapi import FastAPI

from app.application import create_app
from app.engine.fork_server import ForkServer
from app.server.replica import build_replica, open_verifier
from app.settings import Settings, read_settings
from model.canary import canary_pair
from model.checkpoint import Description, Provenance
from model.imaging.detection import FaceFinder
from model.imaging.preprocessing import PreprocessingConfig
from model.imaging.quality import QualityRanges, Range
from model.networks.configurations import AnyNetworkConfig, NetworkConfig
from model.networks.embedder import save
from model.networks.siamese import SiameseNetwork, initialise
from model.similarity import Threshold
from model.verifier import Verifier
from tests.drawing import encode, portrait
from training.learning.experiments import ALIGNED

ROOT = Path(__file__).parent
# Long files from the end of the order, which start first. They keep all cores busy, so no browser runs beside them.
LONGEST = (
    "training/learning/test_kill.py",
    "training/people/test_several_processes.py",
    "test_shipped.py",
    "training/learning/test_parallel.py",
    "training/commands/test_commands.py",
    "training/people/test_people_run.py",
    "training/importing/test_self_test.py",
    "training/data/test_store.py",
)

TINY = NetworkConfig(batch_norm=True, embedding_activation="relu", channels=(4, 4, 8, 8), dimension=32)
PEOPLE = 6
PICTURES = 3
# Every drawn head is within these ranges, and outside when it is blurred, darkened or brightened.
DRAWN_RANGES = QualityRanges(
    sharpness=Range(low=40, high=2000), brightness=Range(low=70, high=190), yaw_deg=Range(low=-25, high=25)
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--restarts", type=int, default=1, help="replicas restarted under load in tests/deploy")
    parser.addoption("--kills", type=int, default=6, help="of the training run in test_kill.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts long files first, so that processes that share the files out end at nearly the same time."""
    places = {ROOT / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def tiny_network(seed: int = 0, config: NetworkConfig = TINY) -> SiameseNetwork:
    """A narrow network with random weights, batch statistics of the canary pair, and a bias that favours "same"."""
    network = SiameseNetwork(config)
    initialise(network, torch.Generator().manual_seed(seed))
    pixels = torch.from_numpy(canary_pair(config.input_shape))[:, None].float() / 255
    network.train()
    for _ in range(20):
        network.embed((pixels - 0.5) / 0.5)
    with torch.no_grad():
        network.comparison.bias.fill_(1.0)
        network.comparison.weight.mul_(4).abs_().neg_()
    return network.eval()


def describe(
    config: AnyNetworkConfig = TINY,
    threshold: float = 0.5,
    name: str = "tiny",
    preprocessing: PreprocessingConfig | None = None,
    trained_on: QualityRanges | None = None,
) -> Description:
    """The description of a tiny network's checkpoint."""
    return Description(
        name=name,
        network=config,
        preprocessing=preprocessing or PreprocessingConfig(),
        trained_on=trained_on,
        threshold=Threshold(value=threshold, method="given", split="none", pairs=0),
        provenance=Provenance(
            experiment="{}", seed=0, epochs=0, data_sha256="", code_version="", torch_version="", created_utc=""
        ),
    )


@pytest.fixture(scope="session")
def checkpoint_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A valid checkpoint on disk. Tests that damage one copy it first."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save(path, tiny_network(), describe())
    return path


@pytest.fixture(scope="session")
def settings(checkpoint_path: Path) -> Settings:
    """The service's settings for the tiny checkpoint, independent of the environment."""
    return read_settings({"weights": checkpoint_path, "device": "cpu"}, environment={})


@pytest.fixture(scope="session")
def verifier(settings: Settings) -> Verifier:
    """The tiny checkpoint's verifier, warmed up."""
    return open_verifier(settings)


@cache
def fork_server() -> ForkServer:
    """One fork server for all applications of a test run."""
    return ForkServer()


def pytest_sessionfinish() -> None:
    if fork_server.cache_info().currsize:
        fork_server().close()


def build_app(settings: Settings, verifier: Verifier) -> FastAPI:
    """The application around a verifier."""
    replica = build_replica(settings, verifier, fork_server())
    return create_app(settings, replica.inference, replica.metrics, replica.drain)


@asynccontextmanager
async def app_of(settings: Settings, verifier: Verifier) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient]]:
    """The running application and a client."""
    app = build_app(settings, verifier)
    session = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")
    async with app.router.lifespan_context(app), session as client:
        yield app, client


@asynccontextmanager
async def client_of(settings: Settings, verifier: Verifier) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the running application."""
    async with app_of(settings, verifier) as (_, client):
        yield client


@pytest.fixture
async def client(settings: Settings, verifier: Verifier) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application with default settings."""
    async with client_of(settings, verifier) as client:
        yield client


@pytest.fixture(scope="session")
def openapi(settings: Settings, verifier: Verifier) -> dict[str, Any]:
    """The answer of /openapi.json with default settings, which each application would make again. Read it only."""

    async def ask() -> dict[str, Any]:
        async with client_of(settings, verifier) as client:
            document: dict[str, Any] = (await client.get("/openapi.json")).json()
            return document

    return asyncio.run(ask())


@pytest.fixture(scope="session")
def aligned_checkpoint_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A valid checkpoint of a network that sees aligned faces."""
    path = tmp_path_factory.mktemp("weights") / "aligned.safetensors"
    save(path, tiny_network(), describe(name="aligned", preprocessing=ALIGNED, trained_on=DRAWN_RANGES))
    return path


@pytest.fixture(scope="session")
def aligned_settings(aligned_checkpoint_path: Path) -> Settings:
    """The service's settings for the aligned checkpoint."""
    return read_settings({"weights": aligned_checkpoint_path, "device": "cpu"}, environment={})


@pytest.fixture(scope="session")
def aligned_verifier(aligned_settings: Settings) -> Verifier:
    """The aligned checkpoint's verifier, warmed up."""
    return open_verifier(aligned_settings)


@pytest.fixture
async def aligned_client(aligned_settings: Settings, aligned_verifier: Verifier) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application with the aligned checkpoint."""
    async with client_of(aligned_settings, aligned_verifier) as client:
        yield client


@pytest.fixture(scope="session")
def finder() -> FaceFinder:
    """The installed face detector."""
    return FaceFinder()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder like a user's: `people/NAME/NAME_0001.png`, train.txt and test.txt."""
    folder = tmp_path_factory.mktemp("data")
    for person in range(PEOPLE):
        name = f"Person_{person}"
        (folder / "people" / name).mkdir(parents=True)
        for picture in range(1, PICTURES + 1):
            path = folder / "people" / name / f"{name}_{picture:04d}.png"
            path.write_bytes(encode(portrait(person, picture)))
    write_pairs(folder / "train.txt", PEOPLE)
    write_pairs(folder / "test.txt", PEOPLE)
    return folder


def write_pairs(path: Path, count: int) -> None:
    """Writes `count` genuine pairs and as many impostor pairs, in LFW's format."""
    lines = [str(count)]
    lines += [f"Person_{i % PEOPLE}\t1\t{2 + i // PEOPLE % 2}" for i in range(count)]
    lines += [f"Person_{i % PEOPLE}\t1\tPerson_{(i + 1 + i // PEOPLE) % PEOPLE}\t2" for i in range(count)]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def lfw() -> Path:
    """The folder with the LFW archives. Tests that need it are skipped without it."""
    folder = os.environ.get("FACEPAIR_LFW")
    if not folder:
        pytest.skip("FACEPAIR_LFW names no folder with the LFW archives")
    return Path(folder)


@pytest.fixture(scope="session")
def hostile() -> Path:
    """A folder with `pngsuite`, `exif-orientation` and `image-rs`. Tests that need it are skipped without it."""
    folder = os.environ.get("FACEPAIR_HOSTILE_IMAGES")
    if not folder:
        pytest.skip("FACEPAIR_HOSTILE_IMAGES names no folder with hostile images")
    return Path(folder)


@pytest.fixture(scope="session")
def lfw_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache for prepared LFW crops, shared by a test run."""
    return tmp_path_factory.mktemp("lfw-cache")
