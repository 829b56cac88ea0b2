"""What a decoder that runs an attacker's code can do to the service: nothing but lose its place."""

import json
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import replace

import numpy as np
import pytest

from app.engine import decoder_process
from app.engine.answers import LENGTHS, DecodeResult, DecoderFault, Expected, pack_result, unpack_lengths, unpack_result
from app.engine.decoder import DecoderConfig
from app.engine.decoder_pool import Decoders
from app.engine.decoder_process import DecoderProcess
from app.engine.fork_server import ForkServer
from app.engine.sandbox.system_calls import X86_64, own_architecture
from model.errors import UndecodableImage
from model.imaging.analysis import ImageAnalysis, TooManyTogether
from model.imaging.analysis import analyse as analyse_photo
from model.imaging.decoding import decode
from model.imaging.detection import FaceFinder
from tests.app.engine.test_decoder_pool import analyse, new_config, running, until
from tests.app.support.crowds import CROWD
from tests.app.support.escapes import ESCAPES, HARMLESS
from tests.app.support.stopped_decoders import stopped
from tests.app.support.taken_over import ATTACKS, TAKE_OVER
from tests.app.support.waiting import is_alive
from training.learning.experiments import ALIGNED

pytestmark = pytest.mark.anyio

GROWTH_KIB = 20 * 1024


@asynccontextmanager
async def taken_over(config: DecoderConfig | None = None) -> AsyncIterator[Decoders]:
    """Decoders that some images take over."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.engine.fork_server.COMMAND", (sys.executable, "-m", "tests.app.support.taken_over"))
        with closing(ForkServer()) as source:
            async with running(config=config, source=source) as (decoders, _):
                yield decoders


@pytest.fixture
async def decoders() -> AsyncIterator[Decoders]:
    async with taken_over() as decoders:
        yield decoders


@pytest.mark.parametrize("attack", ATTACKS)
async def test_false_answers_end_the_decoder_and_nothing_else(
    decoders: Decoders, caplog: pytest.LogCaptureFixture, attack: str
) -> None:
    await analyse(decoders)
    before, memory = set(decoders.pids), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with suppress(UndecodableImage):  # unless the first of two answers came by itself
        await analyse(decoders, TAKE_OVER + attack.encode())
    await analyse(decoders)
    await until(lambda: not any(map(is_alive, before)))
    assert "decoder gave an invalid answer" in caplog.messages
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < GROWTH_KIB


async def test_code_in_a_decoder_reaches_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    async with taken_over() as decoders:
        before = set(decoders.pids)
        with pytest.raises(DecoderFault) as found:
            await analyse(decoders, TAKE_OVER + f"escape {os.getpid()}".encode())
        assert json.loads(str(found.value)) == {**dict.fromkeys(ESCAPES, "EPERM"), "start a thread": "done"}
        await analyse(decoders)
        assert decoders.pids == before
    assert "forged" not in capfd.readouterr().err
    assert not os.path.exists("taken-over")


async def test_code_without_a_sandbox_reaches_what_its_user_may() -> None:
    """So the refusals of the test above are the sandbox's."""
    async with taken_over(replace(new_config(), sandbox="off")) as decoders:
        with pytest.raises(DecoderFault) as found:
            await analyse(decoders, TAKE_OVER + f"unconfined {os.getpid()}".encode())
    assert json.loads(str(found.value)) == dict.fromkeys([*HARMLESS, "start a thread"], "done")


@pytest.mark.skipif(own_architecture() is not X86_64, reason="only x86-64 has a second architecture")
async def test_a_call_of_another_architecture_ends_the_decoder(capfd: pytest.CaptureFixture[str]) -> None:
    async with taken_over() as decoders:
        with pytest.raises(UndecodableImage):
            await analyse(decoders, TAKE_OVER + b"foreign call")
        await analyse(decoders)
        await until(lambda: "signal SIGSYS ended it" in capfd.readouterr().err)


async def test_a_decoder_that_hides_is_ended(decoders: Decoders) -> None:
    [first] = decoders.pids
    with pytest.raises(UndecodableImage):
        await analyse(decoders, TAKE_OVER + b"silence")
    await analyse(decoders)
    await until(lambda: not is_alive(first))


async def test_a_stopped_decoder_is_noticed_and_its_image_tried_by_another(caplog: pytest.LogCaptureFixture) -> None:
    async with running(config=new_config(limit_s=3600.0)) as (decoders, _):
        [first] = decoders.pids
        os.kill(first, signal.SIGSTOP)
        assert isinstance(await analyse(decoders), ImageAnalysis)
        await until(lambda: not is_alive(first))
    assert "decoder was stopped and is ended" in caplog.messages


async def test_an_image_is_not_refused_because_several_decoders_were_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped_pids: list[int] = []
    send = DecoderProcess.send

    def send_to_stopped(decoder: DecoderProcess, request: bytes, expected: Expected) -> Awaitable[DecodeResult | None]:
        if len(stopped_pids) < 3:
            stopped_pids.append(decoder.ready.result().pid)
            os.kill(stopped_pids[-1], signal.SIGSTOP)
        return send(decoder, request, expected)

    monkeypatch.setattr(decoder_process, "LOOK_S", 0.01)
    monkeypatch.setattr(DecoderProcess, "send", send_to_stopped)
    async with running(config=new_config(limit_s=3600.0)) as (decoders, _):
        assert isinstance(await analyse(decoders), ImageAnalysis)
    assert len(set(stopped_pids)) == 3


async def test_a_decoder_that_exceeds_its_limit_is_ended_and_replaced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(decoder_process, "LATE_S", 0.1)
    async with running(config=new_config(limit_s=2.0)) as (decoders, _):
        [first] = decoders.pids
        with stopped(decoders):
            assert isinstance(await analyse(decoders), ImageAnalysis)  # by its successor
            assert first not in decoders.pids
            await until(lambda: not is_alive(first))
    assert "decoder was late and is ended" in caplog.messages


@pytest.mark.parametrize("choice", ["largest", "all", "none"])
def test_answers_carry_an_analysis_unchanged(finder: FaceFinder, choice: str) -> None:
    analysis = analyse_photo(decode(CROWD, ALIGNED), choice, ALIGNED, finder)  # type: ignore[arg-type]
    result = DecodeResult(outcome=analysis, seconds={"decode": 0.25, "face": analysis.face_s})
    expected = Expected(input_shape=ALIGNED.input_shape, choice=choice, max_faces=3)  # type: ignore[arg-type]
    data = pack_result(result)
    header, pixels = unpack_lengths(data, expected)
    assert len(data) == LENGTHS.size + header + pixels
    again = unpack_result(data[LENGTHS.size : LENGTHS.size + header], data[LENGTHS.size + header :], expected)
    assert again.seconds == result.seconds
    assert isinstance(again.outcome, ImageAnalysis)
    assert len(again.outcome.faces) == {"largest": 1, "all": 3, "none": 0}[choice]
    assert repr(again.outcome) == repr(analysis)
    pairs = [(again.outcome.pixels, analysis.pixels)] + [
        pair
        for one, other in zip(again.outcome.faces, analysis.faces, strict=True)
        for pair in ((one.pixels, other.pixels), (one.face.landmarks, other.face.landmarks))
    ]
    for one, other in pairs:
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)


@pytest.mark.parametrize("error", [TooManyTogether("send fewer"), DecoderFault("x" * 9000)])
def test_answers_carry_errors(error: TooManyTogether | DecoderFault) -> None:
    expected = Expected(input_shape=(1, 8), choice="any", max_faces=0)
    data = pack_result(DecodeResult(outcome=error, seconds={}))
    header, _ = unpack_lengths(data, expected)
    outcome = unpack_result(data[LENGTHS.size :][:header], b"", expected).outcome
    assert type(outcome) is type(error)
    assert str(outcome) == str(error)[-4000:]
