"""The service and training give the same embedding for the same file.

By the service's runtime both are equal bit for bit, which shows that both make the same crop. PyTorch gives the same
embedding up to rounding.
"""

import base64
import tarfile
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from app.server.replica import open_verifier
from app.settings import read_settings
from model.checkpoint import load
from model.cpu.embedder import CpuEmbedder
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.architecture import restore
from model.networks.embedder import save
from tests.conftest import DRAWN_RANGES, client_of, describe
from tests.drawing import encode, encode_oriented, portrait
from tests.faces import head_at, scene
from tests.model.networks.test_residual import SLIM, network
from training.data.album import PairSet
from training.data.pictures import ENDINGS
from training.data.preparation import open_album
from training.learning.experiments import ALIGNED
from training.scoring import embed_all, score_pairs

pytestmark = pytest.mark.anyio

COLOURED = SLIM.model_copy(update={"input_channels": 3, "dimension": 32})
IN_COLOUR = {"side_px": COLOURED.side_px, "colour": "rgb", "standardised": True}

LFW_PICTURES = 8


def oriented(orientation: int) -> dict[str, bytes]:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return {"exif": exif.tobytes()}


def files() -> dict[str, bytes]:
    """Images of every format: in all EXIF orientations, wide, large enough to be reduced, and not in 8-bit colour."""
    wide, large = portrait(1, size=(400, 120)), portrait(2, size=(1800, 1300))
    clear = portrait(3).convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    deep = Image.fromarray(np.asarray(portrait(4).convert("L"), np.uint16) * 257)
    turned = {
        f"turned{orientation}.{ending}": encode(wide, kind, **oriented(orientation))
        for orientation in range(2, 9)
        for ending, kind in (("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP"))
    }
    return turned | {
        "plain.jpg": encode(wide, "JPEG"),
        "plain.png": encode(portrait(1)),
        "plain.webp": encode(wide, "WEBP"),
        "large.jpeg": encode(large, "JPEG"),
        "cmyk.jpg": encode(portrait(5).convert("CMYK"), "JPEG"),
        "clear.png": encode(clear),
        "clear.webp": encode(clear, "WEBP", lossless=True),
        "deep.png": encode(deep),
        "palette.png": encode(portrait(6).quantize(16)),
    }


def folder_of(pictures: dict[str, bytes], folder: Path) -> Path:
    """A folder of people with one image each."""
    for name, data in pictures.items():
        person = folder / name.replace(".", "_")
        person.mkdir(parents=True)
        (person / name).write_bytes(data)
    return folder


async def assert_parity(
    client: httpx.AsyncClient, pictures: dict[str, bytes], checkpoint_path: Path, tmp_path: Path
) -> None:
    """Embeds every image through the album and through a request, and compares."""
    checkpoint = load(checkpoint_path)
    config = checkpoint.header.preprocessing
    album = open_album(folder_of(pictures, tmp_path / "people"), tmp_path / "cache", config)
    index = album.index()
    assert len(index) == len(pictures)
    embedder, trained_network = CpuEmbedder(checkpoint), restore(checkpoint)
    seen = set()
    for name, data in pictures.items():
        picture = torch.tensor([index[(name.replace(".", "_"), Path(name).stem)]])
        [expected] = embedder.embed(album.pixels[picture].numpy())
        trained = embed_all(trained_network, album, picture)[0].numpy()
        assert np.abs(expected - trained).max() <= 1e-5, name
        answers = [await ask(client, data, encoding) for encoding in ("float", "base64")]
        for served in answers:
            assert served.dtype == expected.dtype
            assert served.tobytes() == expected.tobytes(), name
        seen.add(expected.tobytes())
    assert len(seen) > len(pictures) // 3


async def ask(
    client: httpx.AsyncClient, data: bytes, encoding: str
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    answer = await client.post("/embed", files={"image": data}, data={"encoding_format": encoding})
    assert answer.status_code == 200, answer.text
    values = answer.json()["data"][0]["embedding"]
    return np.frombuffer(base64.b64decode(values), "<f4") if isinstance(values, str) else np.array(values, np.float32)


async def test_drawn_images_give_equal_embeddings(
    client: httpx.AsyncClient, checkpoint_path: Path, tmp_path: Path
) -> None:
    await assert_parity(client, files(), checkpoint_path, tmp_path)


def photographs() -> dict[str, bytes]:
    """Images with drawn faces; in each the largest face is also the one nearest the centre."""
    tilted = scene(head_at(0, tilt_deg=20), head_at(3, 560, 90, 24))
    large = scene(head_at(1)).resize((2400, 1800))
    return {
        "plain.png": encode(scene(head_at(0))),
        "tilted.jpg": encode(tilted, "JPEG"),
        "crowd.webp": encode(scene(head_at(2), head_at(3, 80, 100, 30)), "WEBP"),
        "turned6.jpg": encode_oriented(tilted, 6, "JPEG"),
        "turned8.png": encode_oriented(scene(head_at(4)), 8),
        "large.jpeg": encode(large, "JPEG"),
        "grey.png": encode(scene(head_at(5)).convert("L")),
    }


async def test_aligned_faces_give_equal_embeddings(
    aligned_client: httpx.AsyncClient, aligned_checkpoint_path: Path, tmp_path: Path
) -> None:
    await assert_parity(aligned_client, photographs(), aligned_checkpoint_path, tmp_path)


async def test_colour_images_give_equal_embeddings(tmp_path: Path) -> None:
    path, preprocessing = tmp_path / "coloured.safetensors", ALIGNED.model_copy(update=IN_COLOUR)
    description = describe(name="coloured", preprocessing=PreprocessingConfig(), trained_on=DRAWN_RANGES)
    save(
        path,
        network(COLOURED).eval(),
        description.model_copy(update={"network": COLOURED, "preprocessing": preprocessing}),
    )
    settings = read_settings({"weights": path, "device": "cpu"}, environment={})
    async with client_of(settings, open_verifier(settings)) as client:
        await assert_parity(client, photographs(), path, tmp_path)


async def test_album_leaves_out_what_the_service_refuses_for_no_face(
    aligned_client: httpx.AsyncClient, aligned_checkpoint_path: Path, tmp_path: Path
) -> None:
    pictures = {"face.png": photographs()["plain.png"], "none.png": encode(portrait(1))}
    config = load(aligned_checkpoint_path).header.preprocessing
    album = open_album(folder_of(pictures, tmp_path / "people"), tmp_path / "cache", config)
    assert (album.keys, album.faceless) == ([("face_png", "face")], [("none_png", "none")])
    answer = await aligned_client.post("/embed", files={"image": pictures["none.png"]})
    assert answer.json()["code"] == "no_face"


async def test_pair_gives_equal_similarity(client: httpx.AsyncClient, checkpoint_path: Path, tmp_path: Path) -> None:
    pictures = {name: files()[name] for name in ("large.jpeg", "turned6.webp")}
    checkpoint = load(checkpoint_path)
    config = checkpoint.header.preprocessing
    album = open_album(folder_of(pictures, tmp_path / "people"), tmp_path / "cache", config)
    pair = PairSet(left=torch.tensor([0]), right=torch.tensor([1]), same=torch.zeros(1))
    (trained,), _ = score_pairs(restore(checkpoint), album, pair)
    images = {"image1": pictures["large.jpeg"], "image2": pictures["turned6.webp"]}
    answer = await client.post("/verify", files=images)
    assert answer.json()["similarity"] == pytest.approx(trained, abs=1e-5)


async def test_lfw_images_give_equal_embeddings(
    client: httpx.AsyncClient, checkpoint_path: Path, tmp_path: Path, lfw: Path
) -> None:
    await assert_parity(client, first_pictures(lfw / "lfw-deepfunneled.tgz"), checkpoint_path, tmp_path)


def first_pictures(archive_path: Path) -> dict[str, bytes]:
    """The first LFW_PICTURES images of an archive, which is read no further."""
    pictures: dict[str, bytes] = {}
    with tarfile.open(archive_path, "r|gz") as archive:
        for member in archive:
            file = archive.extractfile(member) if Path(member.name).suffix in ENDINGS else None
            if file:
                pictures[Path(member.name).name] = file.read()
            if len(pictures) == LFW_PICTURES:
                break
    return pictures
