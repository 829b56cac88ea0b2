"""What decoders have given up, as the system sees it."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

import httpx
import pytest
from PIL import Image
from PIL.ImageCms import ImageCmsProfile, createProfile

from app.engine.decoder import DecoderConfig, DecodeRequest, handle
from app.engine.decoder_trial import try_out
from app.engine.fork_server import ForkServer
from app.engine.sandbox import confinement
from app.engine.sandbox.confinement import (
    MSG_FILTER_REQUIRED,
    Sandbox,
    SandboxError,
    be_ended_first,
    gain_no_privileges,
)
from app.engine.sandbox.landlock import find_version
from app.settings import SHIPPED
from benchmarks.hostile import hostile_files
from model.checkpoint import load
from model.errors import ImageError, ImageTooDemanding
from model.imaging.analysis import Choice, FaceAllowance, ImageAnalysis
from model.imaging.decoding import ImageLimits
from model.imaging.detection import FaceFinder
from tests.app.engine.test_decoder_pool import LONG_S, analyse, new_config, parent_of, running, until
from tests.app.support.service import serving, start_in_vain
from tests.drawing import encode, encode_oriented
from tests.faces import head_at, scene
from tests.model.support.pictures import several

MIB = 2**20
CHOICES: tuple[Choice, ...] = ("largest", "all")

pytestmark = pytest.mark.anyio


def core_limit(pid: int) -> list[str]:
    """The soft and the hard limit of a process's core dumps."""
    [line] = [line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if "core file" in line]
    return line.split()[4:6]


async def test_decoders_leave_no_core_gain_no_privileges_and_are_ended_first() -> None:
    async with running() as (decoders, _):
        await analyse(decoders)
        [first] = decoders.pids
        os.kill(first, signal.SIGKILL)
        await until(lambda: decoders.pids and first not in decoders.pids)
        [pid] = decoders.pids
        for each in (pid, parent_of(pid)):
            assert core_limit(each) == ["0", "0"]
            assert "NoNewPrivs:\t1\n" in Path(f"/proc/{each}/status").read_text()
        assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "1000\n"
        assert Path(f"/proc/{parent_of(pid)}/oom_score_adj").read_text() != "1000\n"


async def test_decoders_have_one_socket_and_no_other_file() -> None:
    async with running() as (decoders, _):
        [pid] = decoders.pids
        descriptors = {number: os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")}
        assert [descriptors.pop(stream) for stream in "012"] == [os.devnull] * 3
        [channel] = descriptors.values()
        assert channel.startswith("socket:")
        status = Path(f"/proc/{pid}/status").read_text()
        assert "Seccomp:\t2\n" in status
        assert decoders.sandbox == Sandbox(system_calls="filtered", landlock=find_version(), memory_bytes=None)


def pictures() -> Iterator[bytes]:
    """Files that need different parts of the libraries."""
    face = scene(head_at(0))
    profile = ImageCmsProfile(createProfile("sRGB")).tobytes()
    for kind in ("JPEG", "PNG", "WEBP"):
        yield encode(face, kind)
        yield encode_oriented(face, 6, kind, icc_profile=profile)
        yield encode(face.rotate(180), kind)
        yield encode(scene(), kind)
    yield encode(face.convert("CMYK"), "JPEG", progressive=True)
    yield encode(face.quantize(64), "PNG", transparency=0)
    yield encode(face.convert("L").convert("I;16"), "PNG")
    yield several("MPO", face, face)
    yield several("WEBP", face, face)
    yield from islice(hostile_files(), 60)


def essence(outcome: object) -> object:
    """An image's error, or what was seen of it."""
    if isinstance(outcome, ImageAnalysis):
        return [(face.pixels.tobytes(), face.face.box, face.conditions, face.warnings) for face in outcome.faces]
    return type(outcome), str(outcome)


async def test_confined_decoders_see_the_same() -> None:
    """With the shipped checkpoint, which looks for everything that there is to find."""
    header = load(SHIPPED).header
    config = DecoderConfig(
        preprocessing=header.preprocessing,
        trained_on=header.trained_on,
        conditions=header.conditions,
        detector=None,
        limits=ImageLimits(),
        limit_s=LONG_S,
    )
    finder = FaceFinder()
    async with running(config=config) as (decoders, _):
        for data in pictures():
            for choice in CHOICES:
                request = DecodeRequest(image=data, choice=choice, allowance=FaceAllowance(8))
                try:
                    found: object = await decoders.analyse(request)
                except ImageError as error:
                    found = error
                assert essence(found) == essence(handle(request, config, finder).outcome)


async def test_an_image_that_takes_too_much_memory_is_refused_by_itself() -> None:
    async with running(config=replace(new_config(), memory_bytes=64 * MIB)) as (decoders, _):
        before = set(decoders.pids)
        for kind in ("PNG", "WEBP"):
            with pytest.raises(ImageTooDemanding, match="more memory than decoding may"):
                await analyse(decoders, encode(Image.new("RGBA", (6000, 5000)), kind))
            await analyse(decoders)
        assert decoders.pids == before
        assert decoders.sandbox
        assert decoders.sandbox.memory_bytes == 64 * MIB


async def test_a_kernel_without_filters_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.engine.fork_server.COMMAND", (sys.executable, "-m", "tests.app.support.refusing_kernel"))
    with closing(ForkServer()) as source:
        expected = Sandbox(system_calls="refused", landlock=0, memory_bytes=None)
        assert try_out(source, new_config()) == expected
        with pytest.raises(SandboxError, match=MSG_FILTER_REQUIRED):
            try_out(source, replace(new_config(), sandbox="required"))
        assert try_out(source, replace(new_config(), sandbox="off")).system_calls == "off"


def test_the_service_needs_the_filter_that_is_required(checkpoint_path: Path) -> None:
    flags = ("--port", "0", "--device", "cpu", "--weights", str(checkpoint_path), "--sandbox", "required")
    ended = start_in_vain(*flags, module="tests.app.support.refusing_kernel")
    assert ended.returncode == 1
    assert ended.stderr == f"error: {MSG_FILTER_REQUIRED}\n"


def test_the_service_says_that_it_has_no_filter(checkpoint_path: Path) -> None:
    with serving(checkpoint_path, module="tests.app.support.refusing_kernel") as service:
        assert any("decoders have no filter of system calls" in line for line in service.log)
        sandbox = httpx.get(f"{service.url}/info").json()["sandbox"]
        assert (sandbox["system_calls"], sandbox["landlock"]) == ("refused", 0)


def test_the_service_leaves_no_core(checkpoint_path: Path) -> None:
    with serving(checkpoint_path) as service:
        assert core_limit(service.process.pid) == ["0", "0"]


def test_refusals_of_the_system_are_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(confinement, "PR_SET_NO_NEW_PRIVS", -1)
    gain_no_privileges()
    be_ended_first(tmp_path)
    assert "the system refuses no_new_privs" in caplog.messages[0]
    assert "before a decoder if memory is short" in caplog.messages[1]
