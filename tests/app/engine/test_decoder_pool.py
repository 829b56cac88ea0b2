"""Decoders that end, hang, or cannot be started, and what becomes of the images that were theirs."""

import asyncio
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from app.engine.answers import DecoderFault
from app.engine.batching import MSG_BUSY, DeadlinePassed
from app.engine.decoder import DecoderConfig, DecodeRequest, handle
from app.engine.decoder_pool import MSG_CRASHED_DECODER, MSG_TOO_SLOW, Decoders
from app.engine.decoder_process import is_stopped
from app.engine.decoder_trial import DecodersError, try_out
from app.engine.fork_server import ENVIRONMENT, ForkServer
from model.errors import DetectorError, UndecodableImage, UnsupportedImage
from model.imaging.analysis import FaceAllowance, ImageAnalysis
from model.imaging.decoding import ImageLimits
from model.imaging.detection import installed_detector
from model.imaging.preprocessing import PreprocessingConfig
from tests.app.support.crowds import ALONE
from tests.app.support.service import PATIENCE_S
from tests.app.support.stopped_decoders import stopped
from tests.app.support.waiting import is_alive
from tests.conftest import fork_server
from tests.drawing import encode, portrait
from tests.model.support.pictures import prepare
from training.learning.experiments import ALIGNED

pytestmark = pytest.mark.anyio

ANNA = encode(portrait(1))
LONG_S = 3600.0
MIB = 2**20
# Prints the bytes that a process keeps of the 24 MiB that it has freed, in parts that are too small for mappings.
KEPT = """
from benchmarks.processes import resident_bytes

before = resident_bytes("self", "VmRSS")
parts = [b"x" * 2**20 for _ in range(24)]
assert resident_bytes("self", "VmRSS") - before > 23 * 2**20
del parts
print(resident_bytes("self", "VmRSS") - before)
"""


def new_config(preprocessing: PreprocessingConfig | None = None, limit_s: float = LONG_S) -> DecoderConfig:
    return DecoderConfig(
        preprocessing=preprocessing or PreprocessingConfig(),
        trained_on=None,
        detector=None,
        limits=ImageLimits(),
        limit_s=limit_s,
    )


@asynccontextmanager
async def running(
    count: int = 1, config: DecoderConfig | None = None, source: ForkServer | None = None
) -> AsyncIterator[tuple[Decoders, list[str]]]:
    """Decoders that are there, and the stages that they were observed in."""
    stages: list[str] = []
    decoders = Decoders(source or fork_server(), config or new_config(), count, stages.extend)
    try:
        await decoders.start()
        yield decoders, stages
        await until(lambda: decoders.busy == 0)  # whatever became of the images
    finally:
        await decoders.close()


async def analyse(decoders: Decoders, data: bytes = ANNA, deadline: float = float("inf")) -> ImageAnalysis:
    request = DecodeRequest(image=data, choice="largest", allowance=FaceAllowance(0))
    return await decoders.analyse(request, deadline)


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.005)


async def test_large_results_arrive_complete() -> None:
    preprocessing = PreprocessingConfig(side_px=1024, colour="rgb")  # three times what is held back in Python
    async with running(config=new_config(preprocessing)) as (decoders, stages):
        for seed in (1, 2):
            data = encode(portrait(seed, size=(300, 200)))
            assert np.array_equal((await analyse(decoders, data)).pixels, prepare(data, preprocessing))
    assert stages == ["decoder_queue", "decode"] * 2


async def test_refused_image_leaves_decoder_running() -> None:
    async with running() as (decoders, _):
        before = set(decoders.pids)
        with pytest.raises(UnsupportedImage, match="Images can be JPEG"):
            await analyse(decoders, b"SECRET")
        await analyse(decoders)
        assert decoders.pids == before


async def test_image_is_retried_when_its_decoder_ends() -> None:
    async with running() as (decoders, _):
        [pid] = decoders.pids
        with stopped(decoders):
            analysing = asyncio.create_task(analyse(decoders))
            await asyncio.sleep(0.01)
            os.kill(pid, signal.SIGKILL)
            assert np.array_equal((await analysing).pixels, prepare(ANNA, PreprocessingConfig()))
        [successor] = decoders.pids
        assert successor != pid


async def test_image_that_crashes_decoders_is_refused_after_two() -> None:
    async with running(config=new_config(limit_s=1e-6)) as (decoders, stages):  # which no image keeps
        [first] = decoders.pids
        with pytest.raises(UndecodableImage, match=MSG_CRASHED_DECODER):
            await analyse(decoders)
        await until(lambda: decoders.pids and decoders.pids != {first})
        assert stages == ["decoder_queue"] * 2
        with pytest.raises(UndecodableImage):
            await analyse(decoders)


async def test_idle_decoders_that_end_are_replaced() -> None:
    async with running(2) as (decoders, stages):
        first = set(decoders.pids)
        for pid in first:
            os.kill(pid, signal.SIGKILL)
        await until(lambda: len(decoders.pids - first) == 2)
        await asyncio.gather(*(analyse(decoders) for _ in range(4)))
        assert len(stages) == 8  # none was tried again


async def test_decoders_are_replaced_after_their_images(capfd: pytest.CaptureFixture[str]) -> None:
    forked = 0

    class Counting(ForkServer):
        def fork(self, config: bytes) -> socket.socket:
            nonlocal forked
            forked += 1
            return super().fork(config)

    with closing(Counting()) as source:
        async with running(2, replace(new_config(), images=3), source) as (decoders, stages):
            first = set(decoders.pids)
            for _ in range(6):
                await asyncio.gather(*(analyse(decoders) for _ in range(4)))
            await until(lambda: len(decoders.pids) == 2 and not any(map(is_alive, first)))
            assert 9 <= forked <= 10  # 24 images are those of eight decoders, or of seven and parts of two
            assert len(stages) == 48  # none was tried again
    assert "decoder ended" not in capfd.readouterr().err


async def test_the_latest_idle_decoder_gets_the_next_image() -> None:
    async with running(3, replace(new_config(), images=3)) as (decoders, _):
        before = decoders.pids
        for _ in range(3):
            await analyse(decoders)
        await until(lambda: decoders.pids != before and len(decoders.pids) == 3)
        assert len(decoders.pids & before) == 2


async def test_a_decoder_without_a_successor_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("app.engine.decoder_pool.OVERDUE_S", 0.01)
    with closing(ForkServer()) as source:
        async with running(1, replace(new_config(), images=2), source) as (decoders, _):
            [first] = decoders.pids
            server = parent_of(first)
            os.kill(server, signal.SIGSTOP)
            for _ in range(5):
                await analyse(decoders)
                assert decoders.pids == {first}
            assert caplog.messages == ["decoder goes on after its images: no other is ready"]
            os.kill(server, signal.SIGCONT)
            await until(lambda: decoders.pids and first not in decoders.pids and not is_alive(first))
            await analyse(decoders)


async def test_a_decoder_s_end_is_seen_even_if_its_socket_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.engine.fork_server.COMMAND", (sys.executable, "-m", "tests.app.support.leaking_fork"))
    with closing(ForkServer()) as source:
        async with running(source=source) as (decoders, _):
            [first] = decoders.pids
            os.kill(first, signal.SIGKILL)
            await until(lambda: decoders.pids and first not in decoders.pids)
            await analyse(decoders)


async def test_decoders_outlive_their_fork_server() -> None:
    with closing(ForkServer()) as source:
        async with running(source=source) as (decoders, _):
            [first] = decoders.pids
            os.kill(parent_of(first), signal.SIGKILL)
            await analyse(decoders)
            assert decoders.pids == {first}
            os.kill(first, signal.SIGKILL)
            await analyse(decoders)
            assert decoders.pids != {first}


async def test_deadline_ends_waiting_and_decoding() -> None:
    async with running() as (decoders, stages):
        with stopped(decoders):
            deadline = time.perf_counter() + 1
            begun, waiting = (asyncio.create_task(analyse(decoders, deadline=deadline)) for _ in range(2))
            with pytest.raises(DeadlinePassed, match=MSG_TOO_SLOW):
                await begun
            with pytest.raises(DeadlinePassed, match=MSG_BUSY):
                await waiting
            with pytest.raises(DeadlinePassed, match=MSG_BUSY):
                await analyse(decoders, deadline=deadline)
        await analyse(decoders)
        assert stages.count("decode") == 2


async def test_decoder_finishes_image_of_cancelled_caller() -> None:
    async with running() as (decoders, stages):
        with stopped(decoders):
            left = asyncio.create_task(analyse(decoders))
            await asyncio.sleep(0.01)
            left.cancel()
        await analyse(decoders)
        assert stages == ["decoder_queue", "decode"] * 2


async def test_missing_seconds_count_while_there_is_no_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.engine.decoder_pool.PAUSE_S", 0.01)
    with closing(ForkServer()) as source:
        async with running(source=source) as (decoders, _):
            [first] = decoders.pids
            assert decoders.missing_s == 0
            with monkeypatch.context() as patch:
                patch.setattr("app.engine.fork_server.COMMAND", (sys.executable, "-c", ""))
                os.kill(parent_of(first), signal.SIGKILL)
                os.kill(first, signal.SIGKILL)
                await until(lambda: decoders.missing_s > 0.05)
            await analyse(decoders)
            assert decoders.missing_s == 0


async def test_start_fails_without_decoders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.engine.fork_server.COMMAND", (sys.executable, "-c", ""))
    with closing(ForkServer()) as source:
        with monkeypatch.context() as patch:
            patch.setattr("app.engine.decoder_pool.STARTING_S", 0.1)
            with pytest.raises(DecodersError, match="the log says why"):
                async with running(source=source):
                    pass
        with pytest.raises(DecodersError, match="it ended before it was ready"):
            try_out(source, new_config())


async def test_fork_failure_is_retried(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("app.engine.decoder_pool.PAUSE_S", 0.01)
    monkeypatch.setattr("app.engine.fork_server.COMMAND", (sys.executable, "-m", "tests.app.support.failing_fork"))
    with closing(ForkServer()) as source:
        async with running(source=source) as (decoders, _):
            await analyse(decoders)
    assert '"decoder could not be forked", "reason": "Resource temporarily unavailable"' in capfd.readouterr().err


async def test_hung_fork_server_is_replaced(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("app.engine.decoder_pool.PAUSE_S", 0.01)
    with closing(ForkServer()) as source:
        async with running(source=source) as (decoders, _):
            [first] = decoders.pids
            # Once it has closed its copy of the decoder's end, its own channel is its only socket.
            await until(lambda: sockets_of(parent_of(first)) == 1)
            os.kill(parent_of(first), signal.SIGSTOP)
            with monkeypatch.context() as patch:
                patch.setattr("app.engine.decoder_pool.STARTING_S", 0.1)
                os.kill(first, signal.SIGKILL)
                await until(lambda: "decoder could not be started" in caplog.messages)
            await analyse(decoders)
            assert "fork server ended" in caplog.messages


class Failing(ForkServer):
    """One that fails once as nobody expects."""

    failed = False

    def fork(self, config: bytes) -> socket.socket:
        if not self.failed:
            self.failed = True
            raise MemoryError
        return super().fork(config)


async def test_unexpected_start_failure_is_retried_and_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("app.engine.decoder_pool.PAUSE_S", 0.01)
    with closing(Failing()) as source:
        async with running(source=source) as (decoders, _):
            await analyse(decoders)
    [line] = caplog.records
    assert (line.getMessage(), vars(line)["fields"]["reason"]) == ("decoder could not be started", "MemoryError")
    assert line.exc_info


async def test_decoder_is_replaced_when_a_request_cannot_be_sent() -> None:
    class Unpicklable(bytes):
        pass

    async with running() as (decoders, _):
        before = set(decoders.pids)
        with pytest.raises((AttributeError, pickle.PicklingError)):
            await analyse(decoders, Unpicklable(ANNA))
        await analyse(decoders)
        assert not decoders.pids & before


async def test_decoder_with_another_detector_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "detector.onnx"
    detector = installed_detector().read_bytes()
    path.write_bytes(detector)
    config = DecoderConfig(preprocessing=ALIGNED, trained_on=None, detector=path, limits=ImageLimits(), limit_s=LONG_S)
    async with running(config=config) as (decoders, _):
        [pid] = decoders.pids
        other = onnx.load_model_from_string(detector)
        other.doc_string = "another"
        path.write_bytes(other.SerializeToString())
        server = Path(f"/proc/{parent_of(pid)}/stat")
        os.kill(parent_of(pid), signal.SIGKILL)  # it has loaded the detector for all its decoders
        await until(lambda: ") Z " in server.read_text())  # until it has ended, it can still be asked for a decoder
        os.kill(pid, signal.SIGKILL)

        def reasons() -> list[str]:
            lines = [each for each in caplog.records if each.getMessage() == "decoder could not be started"]
            return [vars(each)["fields"]["reason"] for each in lines]

        # The first attempt may still have gone to the fork server that was killed.
        await until(lambda: any("the face detector has digest" in each for each in reasons()))
        assert not decoders.pids
        with pytest.raises(DetectorError, match="the face detector has digest"):
            try_out(fork_server(), config)


async def test_decoders_end_when_closed() -> None:
    async with running(2) as (decoders, _):
        pids = set(decoders.pids)
    await until(lambda: not any(map(is_alive, pids)))


@pytest.mark.parametrize("wanted", [signal.SIGINT, signal.SIGTERM])
async def test_decoders_ignore_sigint_and_sigterm(wanted: signal.Signals) -> None:
    async with running() as (decoders, _):
        [pid] = decoders.pids
        os.kill(pid, wanted)
        os.kill(parent_of(pid), wanted)
        await analyse(decoders)
        assert decoders.pids == {pid}
        assert is_alive(parent_of(pid))


async def test_unexpected_exception_becomes_decoder_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("cause")

    monkeypatch.setattr("app.engine.decoder.analyse", fail)
    result = handle(DecodeRequest(image=ANNA, choice="largest", allowance=FaceAllowance(0)), new_config(), None)
    assert isinstance(result.outcome, DecoderFault)
    assert str(result.outcome).endswith("RuntimeError: cause\n")


def test_decoders_keep_little_of_what_an_image_has_freed() -> None:
    command = [sys.executable, "-c", KEPT]
    found = subprocess.run(command, env=os.environ | ENVIRONMENT, capture_output=True, text=True, check=True)
    assert int(found.stdout) < 9 * MIB


async def test_decoders_have_one_thread_and_no_torch() -> None:
    async with running(config=new_config(ALIGNED)) as (decoders, _):
        [pid] = decoders.pids
        assert len((await analyse(decoders, ALONE)).faces) == 1
        for each in (pid, parent_of(pid)):
            assert len(os.listdir(f"/proc/{each}/task")) == 1
            with open(f"/proc/{each}/maps") as maps:
                assert "libtorch" not in maps.read()


def parent_of(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as stat:
        return int(stat.read().rpartition(") ")[2].split()[1])


def sockets_of(pid: int) -> int:
    """Those that it has opened or got, besides standard input and output."""
    files = [each for each in os.listdir(f"/proc/{pid}/fd") if int(each) > 2]
    return sum("socket:" in os.path.realpath(f"/proc/{pid}/fd/{each}") for each in files)


async def test_a_stopped_decoder_does_not_outlive_the_pool() -> None:
    """It has no image whose time could run out, and does not see that its socket is closed."""
    async with running() as (decoders, _):
        [idle] = decoders.pids
        os.kill(idle, signal.SIGSTOP)
        await until(lambda: is_stopped(idle))
    await until(lambda: not is_alive(idle))


async def test_a_stopped_fork_server_does_not_outlive_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.engine.fork_server.CLOSING_S", 0.05)
    with closing(ForkServer()) as source:
        async with running(source=source) as (decoders, _):
            [first] = decoders.pids
            server = parent_of(first)
        os.kill(server, signal.SIGSTOP)
    assert not Path(f"/proc/{server}").exists()
