"""Every example works, run in its own process against a real service."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from app.settings import SHIPPED
from tests.app.support.full_queue import full_queue
from tests.app.support.service import PATIENCE_S, ROOT, Service, serving
from tests.drawing import encode, encode_oriented, portrait
from tests.faces import head_at, scene

EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def service(aligned_checkpoint_path: Path) -> Iterator[Service]:
    """A service that one verification keeps busy."""
    with serving(aligned_checkpoint_path, "--queue", "2") as service:
        yield service


@pytest.fixture
def faceless(tmp_path: Path) -> str:
    """A file without a face."""
    (tmp_path / "faceless.png").write_bytes(encode(portrait(1)))
    return str(tmp_path / "faceless.png")


@pytest.fixture
def photographs(tmp_path: Path) -> tuple[str, str]:
    """Two files, each with a drawn person."""
    for name, person in (("first.png", 0), ("second.png", 1)):
        (tmp_path / name).write_bytes(encode(scene(head_at(person))))
    return str(tmp_path / "first.png"), str(tmp_path / "second.png")


def command(name: str, *arguments: str, url: str) -> list[str]:
    return [sys.executable, str(EXAMPLES / name), *arguments, "--url", url]


def run(name: str, *arguments: str, url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(name, *arguments, url=url), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


def test_examples_are_short_and_tested() -> None:
    source = Path(__file__).read_text()
    for path in EXAMPLES.glob("*.py"):
        assert len(path.read_text().splitlines()) < 40, path
        assert f'"{path.name}"' in source, path


def test_the_readme_s_example_prints_the_decision(service: Service, photographs: tuple[str, str]) -> None:
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    for name, path in zip(("first.jpg", "second.jpg"), photographs, strict=True):
        code = code.replace(f'"{name}"', repr(path))
    code = code.replace("http://127.0.0.1:8000", service.url)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"(same|different) [01]\.\d+\n", done.stdout)


def test_verify_prints_the_decision(service: Service, photographs: tuple[str, str]) -> None:
    done = run("verify.py", photographs[0], photographs[0], url=service.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.match(r"same: similarity 0\.\d{3}|same: similarity 1\.000", done.stdout)


def test_verify_prints_warnings(service: Service, photographs: tuple[str, str], tmp_path: Path) -> None:
    dark = tmp_path / "dark.png"
    dark.write_bytes(encode(scene(head_at(0)).point(lambda value: value // 3)))
    done = run("verify.py", photographs[0], str(dark), url=service.url)
    assert "image2: " in done.stdout


@pytest.mark.parametrize(("name", "error"), [("verify.py", "image2"), ("store_and_compare.py", "image[1]")])
def test_an_example_exits_with_the_error_of_the_service(
    service: Service, photographs: tuple[str, str], faceless: str, name: str, error: str
) -> None:
    done = run(name, photographs[0], faceless, url=service.url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"no_face in {error}: ")


def test_several_photographs_of_a_person_are_compared(
    service: Service, photographs: tuple[str, str], tmp_path: Path
) -> None:
    done = run("references.py", photographs[0], photographs[1], photographs[0], url=service.url)
    assert (done.returncode, done.stderr) == (0, "")
    one, two = (float(line.rpartition(" ")[2]) for line in done.stdout.splitlines())
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == ["with 1", "with 2"]
    assert one < two  # one of the two is the photograph itself
    broken = tmp_path / "broken.png"
    broken.write_bytes(Path(photographs[0]).read_bytes()[:1000])
    done = run("references.py", photographs[0], photographs[1], str(broken), url=service.url)
    assert done.returncode == 1
    assert done.stderr.startswith("undecodable_image in image2[1]: ")


def test_embeddings_are_stored_and_compared(service: Service, photographs: tuple[str, str], tmp_path: Path) -> None:
    store = tmp_path / "store.json"
    done = run("store_and_compare.py", *photographs, "--store", str(store), url=service.url)
    assert (done.returncode, done.stderr) == (0, "")
    stored = json.loads(store.read_text())
    assert {"embedding1", "embedding2"} < set(stored)
    images = {"image1": Path(photographs[0]).read_bytes(), "image2": Path(photographs[1]).read_bytes()}
    verified = httpx.post(f"{service.url}/verify", files=images, timeout=PATIENCE_S).json()
    assert stored["embedding_sha256"] == verified["model"]["embedding_sha256"]
    assert done.stdout == f"{verified['decision']}: similarity {verified['similarity']:.3f}\n"


def test_busy_service_is_retried(service: Service, photographs: tuple[str, str]) -> None:
    line = command("retries.py", *photographs, url=service.url)
    with full_queue(service):
        process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "queue_full: trying again in 1 s\n"
    with process:
        output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert output.splitlines()[-1] in ("same", "different")


def test_wrong_request_is_not_retried(service: Service, photographs: tuple[str, str], tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(Path(photographs[0]).read_bytes()[:1000])
    done = run("retries.py", photographs[0], str(broken), url=service.url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("undecodable_image in image2: ")


@pytest.mark.parametrize("name", ["party.png", "party.heic"])
def test_faces_of_any_format_are_cropped(service: Service, tmp_path: Path, name: str) -> None:
    picture, party = scene(head_at(0, 320, 240, 100)), tmp_path / name
    if name.endswith("heic"):
        party.write_bytes(encode(picture, "HEIF", quality=95))
    else:
        Image.fromarray(np.asarray(picture.convert("L"), np.uint16) * 257).save(party)
    done = run("faces.py", str(party), "--out", str(tmp_path / "faces"), url=service.url)
    assert (done.returncode, done.stderr) == (0, "")
    [image] = httpx.post(f"{service.url}/detect", files={"image": party.read_bytes()}).json()["images"]
    left, top = round(image["faces"][0]["box"]["x"]), round(image["faces"][0]["box"]["y"])
    crop = Image.open(tmp_path / "faces" / "face-0.png").convert("L")
    expected = picture.convert("L").crop((left, top, left + crop.width, top + crop.height))
    assert np.abs(np.asarray(crop, int) - np.asarray(expected, int)).mean() < 5


def test_faces_are_cropped_from_the_upright_image(service: Service, tmp_path: Path) -> None:
    party = tmp_path / "party.jpg"
    picture = scene(head_at(0, 180, 220, 60), head_at(1, 470, 220, 40))
    party.write_bytes(encode_oriented(picture, 6, "JPEG", quality=95))
    done = run("faces.py", str(party), "--out", str(tmp_path / "faces"), url=service.url)
    assert (done.returncode, done.stderr) == (0, "")
    [image] = httpx.post(f"{service.url}/detect", files={"image": party.read_bytes()}).json()["images"]
    assert len(image["faces"]) == len(done.stdout.splitlines()) == len(list((tmp_path / "faces").iterdir())) == 2
    for face in image["faces"]:
        crop = Image.open(tmp_path / "faces" / f"face-{face['index']}.png")
        left, top = round(face["box"]["x"]), round(face["box"]["y"])
        expected = picture.crop((left, top, left + crop.width, top + crop.height))
        assert crop.size == pytest.approx((face["box"]["width"], face["box"]["height"]), abs=1)
        assert np.abs(np.asarray(crop, int) - np.asarray(expected, int)).mean() < 5


def test_the_most_similar_photographs_are_found(photographs: tuple[str, str], faceless: str) -> None:
    with serving(SHIPPED) as service:
        refused = run("search.py", *photographs, faceless, "--weights", str(SHIPPED), url=service.url)
        done = run("search.py", photographs[0], *photographs, "--weights", str(SHIPPED), url=service.url)
        images = {name: Path(photographs[0]).read_bytes() for name in ("image1", "image2")}
        verified = httpx.post(f"{service.url}/v1/verify", files=images, timeout=PATIENCE_S).json()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == f"{photographs[0]}: similarity {verified['similarity']:.3f}"
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith(f"{faceless}: no_face: ")


def test_faces_are_cropped_from_a_picture_for_printing(service: Service, tmp_path: Path) -> None:
    (tmp_path / "print.jpg").write_bytes(encode(scene(head_at(0)).convert("CMYK"), "JPEG", quality=95))
    done = run("faces.py", str(tmp_path / "print.jpg"), "--out", str(tmp_path / "faces"), url=service.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list((tmp_path / "faces").iterdir())) == 1
