"""Decoders that end, hang, or cannot be started, and what becomes of the images that were theirs."""

import asyncio
import os
import pickle
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import numpy as np
import onnx
import pytest

from app.engine.batching import BUSY, DeadlinePassed
from app.engine.decoder import DecoderFault, Setup, Task, work
from app.engine.decoder_pool import LETHAL, TOO_SLOW, Decoders, DecodersError, try_out
from app.engine.fork_server import ForkServer
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


def setup(config: PreprocessingConfig | None = None, limit_s: float = LONG_S) -> Setup:
    return Setup(
        config=config or PreprocessingConfig(), trained_on=None, detector=None, limits=ImageLimits(), limit_s=limit_s
    )


@asynccontextmanager
async def running(
    count: int = 1, told: Setup | None = None, source: ForkServer | None = None
) -> AsyncIterator[tuple[Decoders, list[str]]]:
    """Decoders that are there, and the stages that they were observed in."""
    stages: list[str] = []
    decoders = Decoders(source or fork_server(), told or setup(), count, lambda stage, _: stages.append(stage))
    try:
        await decoders.start()
        yield decoders, stages
    finally:
        await decoders.close()


async def look(decoders: Decoders, data: bytes = ANNA, deadline: float = float("inf")) -> ImageAnalysis:
    return await decoders.analyse(data, "largest", FaceAllowance(0), deadline)


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.005)


async def test_an_answer_of_any_size_is_the_pictures() -> None:
    config = PreprocessingConfig(side_px=1024, colour="rgb")  # three times what is held back in Python
    async with running(told=setup(config)) as (decoders, stages):
        for seed in (1, 2):
            data = encode(portrait(seed, size=(300, 200)))
            assert np.array_equal((await look(decoders, data)).pixels, prepare(data, config))
    assert stages == ["decoder_queue", "decode"] * 2


async def test_an_image_that_is_refused_costs_no_decoder() -> None:
    async with running() as (decoders, _):
        before = set(decoders.pids)
        with pytest.raises(UnsupportedImage, match="not JPEG, PNG or WebP"):
            await look(decoders, b"SECRET")
        await look(decoders)
        assert decoders.pids == before


async def test_an_image_whose_decoder_ends_is_tried_again() -> None:
    async with running() as (decoders, _):
        [pid] = decoders.pids
        with stopped(decoders):
            looking = asyncio.create_task(look(decoders))
            await asyncio.sleep(0.01)
            os.kill(pid, signal.SIGKILL)
            assert np.array_equal((await looking).pixels, prepare(ANNA, PreprocessingConfig()))
        [successor] = decoders.pids
        assert successor != pid


async def test_an_image_that_ends_every_decoder_ends_two_and_no_other_request() -> None:
    async with running(told=setup(limit_s=1e-6)) as (decoders, stages):  # which no image keeps
        [first] = decoders.pids
        with pytest.raises(UndecodableImage, match=LETHAL):
            await look(decoders)
        await until(lambda: decoders.pids and decoders.pids != {first})
        assert stages == ["decoder_queue"] * 2
        with pytest.raises(UndecodableImage):
            await look(decoders)


async def test_an_idle_decoder_that_ends_is_replaced_and_nobody_notices() -> None:
    async with running(2) as (decoders, stages):
        first = set(decoders.pids)
        for pid in first:
            os.kill(pid, signal.SIGKILL)
        await until(lambda: len(decoders.pids - first) == 2)
        await asyncio.gather(*(look(decoders) for _ in range(4)))
        assert len(stages) == 8  # none was tried again


async def test_decoders_go_on_without_their_fork_server_and_the_next_one_has_another() -> None:
    with closing(ForkServer()) as source:
        async with running(source=source) as (decoders, _):
            [first] = decoders.pids
            os.kill(parent_of(first), signal.SIGKILL)
            await look(decoders)
            assert decoders.pids == {first}
            os.kill(first, signal.SIGKILL)
            await look(decoders)
            assert decoders.pids != {first}


async def test_waiting_for_a_decoder_and_being_in_one_end_at_the_deadline() -> None:
    async with running() as (decoders, stages):
        with stopped(decoders):
            deadline = time.perf_counter() + 1
            begun, waiting = (asyncio.create_task(look(decoders, deadline=deadline)) for _ in range(2))
            with pytest.raises(DeadlinePassed, match=TOO_SLOW):
                await begun
            with pytest.raises(DeadlinePassed, match=BUSY):
                await waiting
            with pytest.raises(DeadlinePassed, match=BUSY):
                await look(decoders, deadline=deadline)
        await look(decoders)
        assert stages.count("decode") == 2


async def test_what_a_caller_left_in_a_decoder_is_finished_and_the_decoder_free() -> None:
    async with running() as (decoders, stages):
        with stopped(decoders):
            left = asyncio.create_task(look(decoders))
            await asyncio.sleep(0.01)
            left.cancel()
        await look(decoders)
        assert stages == ["decoder_queue", "decode"] * 2


async def test_without_any_decoder_they_are_missing_until_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
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
            await look(decoders)
            assert decoders.missing_s == 0


async def test_decoders_that_cannot_be_started_are_no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.engine.decoder_pool.STARTING_S", 0.1)
    monkeypatch.setattr("app.engine.fork_server.COMMAND", (sys.executable, "-c", ""))
    with closing(ForkServer()) as source:
        with pytest.raises(DecodersError, match="the log says why"):
            async with running(source=source):
                pass
        with pytest.raises(DecodersError, match="it ended before it was ready"):
            try_out(source, setup())


async def test_a_fork_server_without_a_process_to_spare_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("app.engine.decoder_pool.PAUSE_S", 0.01)
    monkeypatch.setattr("app.engine.fork_server.COMMAND", (sys.executable, "-m", "tests.app.support.failing_fork"))
    with closing(ForkServer()) as source:
        async with running(source=source) as (decoders, _):
            await look(decoders)
    assert '"decoder could not be forked", "reason": "Resource temporarily unavailable"' in capfd.readouterr().err


async def test_a_fork_server_that_hangs_is_replaced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("app.engine.decoder_pool.PAUSE_S", 0.01)
    with closing(ForkServer()) as source:
        async with running(source=source) as (decoders, _):
            [first] = decoders.pids
            os.kill(parent_of(first), signal.SIGSTOP)
            with monkeypatch.context() as patch:
                patch.setattr("app.engine.decoder_pool.STARTING_S", 0.1)
                os.kill(first, signal.SIGKILL)
                await until(lambda: "decoder could not be started" in caplog.messages)
            await look(decoders)
            assert "fork server ended" in caplog.messages


class Failing(ForkServer):
    """One that fails once as nobody expects."""

    failed = False

    def fork(self) -> socket.socket:
        if not self.failed:
            self.failed = True
            raise MemoryError
        return super().fork()


async def test_whatever_happens_when_a_decoder_is_started_it_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("app.engine.decoder_pool.PAUSE_S", 0.01)
    with closing(Failing()) as source:
        async with running(source=source) as (decoders, _):
            await look(decoders)
    [line] = caplog.records
    assert (line.getMessage(), vars(line)["fields"]["reason"]) == ("decoder could not be started", "MemoryError")
    assert line.exc_info


async def test_a_decoder_whose_task_cannot_be_handed_over_is_replaced() -> None:
    class Unpicklable(bytes):
        pass

    async with running() as (decoders, _):
        before = set(decoders.pids)
        with pytest.raises((AttributeError, pickle.PicklingError)):
            await look(decoders, Unpicklable(ANNA))
        await look(decoders)
        assert not decoders.pids & before


async def test_a_decoder_with_another_detector_than_the_checkpoints_is_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "detector.onnx"
    detector = installed_detector().read_bytes()
    path.write_bytes(detector)
    told = Setup(config=ALIGNED, trained_on=None, detector=path, limits=ImageLimits(), limit_s=LONG_S)
    async with running(told=told) as (decoders, _):
        [pid] = decoders.pids
        other = onnx.load_model_from_string(detector)
        other.doc_string = "another"
        path.write_bytes(other.SerializeToString())
        os.kill(pid, signal.SIGKILL)
        await until(lambda: caplog.records)
        assert not decoders.pids
        assert "the face detector has digest" in vars(caplog.records[0])["fields"]["reason"]
        with pytest.raises(DetectorError, match="the face detector has digest"):
            try_out(fork_server(), told)


async def test_decoders_end_with_their_service() -> None:
    async with running(2) as (decoders, _):
        pids = set(decoders.pids)
    await until(lambda: not any(map(is_alive, pids)))


@pytest.mark.parametrize("wanted", [signal.SIGINT, signal.SIGTERM])
async def test_signals_for_the_whole_service_end_no_decoder(wanted: signal.Signals) -> None:
    async with running() as (decoders, _):
        [pid] = decoders.pids
        os.kill(pid, wanted)
        os.kill(parent_of(pid), wanted)
        await look(decoders)
        assert decoders.pids == {pid}
        assert is_alive(parent_of(pid))


async def test_what_nobody_expects_is_an_answer_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("cause")

    monkeypatch.setattr("app.engine.decoder.analyse", fail)
    answer = work(Task(data=ANNA, choice="largest", faces=FaceAllowance(0)), setup(), None)
    assert isinstance(answer.outcome, DecoderFault)
    assert str(answer.outcome).endswith("RuntimeError: cause\n")


async def test_decoders_have_one_thread_and_no_torch() -> None:
    async with running(told=setup(ALIGNED)) as (decoders, _):
        [pid] = decoders.pids
        assert len((await look(decoders, ALONE)).faces) == 1
        for each in (pid, parent_of(pid)):
            assert len(os.listdir(f"/proc/{each}/task")) == 1
            with open(f"/proc/{each}/maps") as maps:
                assert "libtorch" not in maps.read()


def parent_of(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as stat:
        return int(stat.read().rpartition(") ")[2].split()[1])
