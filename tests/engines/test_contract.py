"""Every engine we ship, against the promises that any engine makes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import numpy as np
import pytest
import soundfile  # type: ignore[import-untyped]
import soxr  # type: ignore[import-untyped]
import trio
from numpy.typing import NDArray

import agent.demo
from agent.core.audio import Gap, PcmChunk, Window
from agent.core.emotion import Emotion, EmotionReading
from agent.engines.expressions import load
from agent.engines.hume import Hume
from agent.engines.local import LocalEngine
from agent.engines.oruk import Oruk
from agent.engines.streamed import StreamedEngine
from agent.engines.streamed.allowance import Allowance
from agent.errors import EngineRefused, EngineUnavailable
from agent.ports import Engine, EngineSession
from agent.testing import ScriptedEngine
from agent.testing.engine_contract import BrokenPromise, check_engine
from agent.testing.fake_hume import FakeHume
from agent.testing.fake_oruk import FakeOruk

Opened = AbstractAsyncContextManager[Engine]


def allowance() -> Allowance:
    return Allowance("the vendor", seconds_per_call=120, sessions=20)


@asynccontextmanager
async def local() -> AsyncIterator[Engine]:
    yield LocalEngine()


@asynccontextmanager
async def scripted() -> AsyncIterator[Engine]:
    yield ScriptedEngine({0: Emotion("neutral", 0.9)})


@asynccontextmanager
async def hume() -> AsyncIterator[Engine]:
    async with FakeHume.serve(lambda start_ms, end_ms: [("anger", 0.8)]) as fake:
        yield StreamedEngine(Hume(base_url=fake.url, api_key=fake.key, expressions=load()), allowance())
        assert not fake.refused


@asynccontextmanager
async def oruk() -> AsyncIterator[Engine]:
    async with FakeOruk.serve(lambda start_s, end_s: [("anger", 0.8), ("?", 0.2)]) as fake:
        yield StreamedEngine(Oruk(base_url=fake.url, api_key=fake.key, expressions=load()), allowance())
        assert not fake.refused


@pytest.fixture(scope="module")
def speech() -> NDArray[np.int16]:
    folder = agent.demo.__path__[0]
    samples, rate = soundfile.read(f"{folder}/voices/emma_calm_then_angry.wav", dtype="int16")
    return np.asarray(soxr.resample(samples[: 8 * rate], rate, 8000), dtype=np.int16)


@pytest.mark.parametrize("open_engine", [local, scripted, hume, oruk])
async def test_an_engine_keeps_its_promises(open_engine: object, speech: NDArray[np.int16]) -> None:
    with trio.fail_after(60):
        async with open_engine() as engine:  # type: ignore[operator]
            readings = await check_engine(engine, speech)
    assert {reading.source for reading in readings} == {"local" if engine.name == "scripted" else engine.name}


class Mute:
    """Keeps every promise but one."""

    name = "mute"

    @asynccontextmanager
    async def open(self, call_sid: str) -> AsyncIterator[Mute]:
        yield self

    def hear(self, sound: PcmChunk | Gap) -> None:
        pass

    async def read(self, window: Window) -> EmotionReading | None:
        return None


async def test_the_check_notices_an_engine_that_says_nothing(
    speech: NDArray[np.int16], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.testing.engine_contract.ANSWERS_IN_S", 2.0)
    with pytest.raises(BrokenPromise, match="said nothing"):
        await check_engine(Mute(), speech)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("refuse", EngineUnavailable),
        ("drop", EngineUnavailable),
        ("rate_limited", EngineUnavailable),
        ("unauthorized", EngineRefused),
    ],
)
async def test_an_outage_of_oruk_is_said_as_what_it_is(fault: str, kind: type[Exception]) -> None:
    with trio.fail_after(20):
        async with FakeOruk.serve() as fake:
            fake.fault = fault  # type: ignore[assignment]
            engine = StreamedEngine(Oruk(base_url=fake.url, api_key=fake.key, expressions=load()), allowance())
            async with engine.open("CA1") as session:
                with pytest.raises(kind):
                    await listen(session)


async def listen(session: EngineSession) -> None:
    for number in range(100):
        await trio.sleep(0.05)
        session.hear(PcmChunk(np.ones(800, dtype=np.int16), 100 * number, trio.current_time()))
        await session.read(Window(0, 200, 0, 0, trio.current_time()))
