"""Hume as an engine, against a fake of it over real loopback sockets: what it says, and every way it can fail."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest
import trio

from agent.core.audio import SAMPLE_RATE, Gap, PcmChunk, Window
from agent.core.emotion import EmotionReading
from agent.engines.expressions import Score, load
from agent.engines.hume import Hume
from agent.engines.streamed import StreamedEngine
from agent.engines.streamed import engine as streamed_engine
from agent.engines.streamed import session as streamed_session
from agent.engines.streamed.allowance import Allowance
from agent.engines.streamed.framing import BACKLOG
from agent.engines.streamed.session import StreamedSession, dominant
from agent.errors import EngineRefused, EngineUnavailable
from agent.testing.fake_hume import FakeHume

CHUNK_MS = 100


def engine_for(
    hume: FakeHume, *, seconds: float = 120.0, sessions: int = 20, key: str | None = None, quiet_ms: int | None = None
) -> StreamedEngine:
    vendor = Hume(base_url=hume.url, api_key=key or hume.key, expressions=load(), heartbeat_s=0.5)
    vendor.quiet_ms = quiet_ms or vendor.quiet_ms
    return StreamedEngine(vendor, Allowance("Hume", seconds_per_call=seconds, sessions=sessions))


class Caller:
    """Speaks into a session in real time, and asks it after every 200 ms of speech."""

    def __init__(self, session: StreamedSession) -> None:
        self._session = session
        self._now_ms = 0
        self.readings: list[EmotionReading] = []

    async def speak(self, seconds: float, *, until: Callable[[], bool] = lambda: False, loud: bool = True) -> None:
        chance = np.random.default_rng(1)
        for _ in range(round(1000 * seconds / CHUNK_MS)):
            await trio.sleep(CHUNK_MS / 1000)
            samples = chance.normal(0, 3000 if loud else 1, SAMPLE_RATE * CHUNK_MS // 1000).astype(np.int16)
            self._session.hear(PcmChunk(samples, self._now_ms, trio.current_time()))
            self._now_ms += CHUNK_MS
            if self._now_ms % 200 == 0 and loud:
                await self.ask()
            if until():
                return

    def miss(self, ms: int) -> None:
        self._session.hear(Gap(self._now_ms, ms, "lost", trio.current_time()))
        self._now_ms += ms

    async def ask(self) -> None:
        window = Window(max(0, self._now_ms - 1500), self._now_ms, 1400, 0, trio.current_time())
        reading = await self._session.read(window)
        if reading is not None:
            self.readings.append(reading)


@asynccontextmanager
async def calling(engine: StreamedEngine, call_sid: str = "CA1") -> AsyncIterator[Caller]:
    with trio.fail_after(20):
        async with engine.open(call_sid) as session:
            yield Caller(session)


def angry(start_ms: int, end_ms: int) -> list[tuple[str, float]]:
    return [("anger", 0.8), ("feeling upset", 0.4), ("something new", 0.9)]


async def test_a_measurement_becomes_a_reading_in_the_calls_own_time() -> None:
    async with FakeHume.serve(angry) as hume, calling(engine_for(hume)) as caller:
        await caller.speak(8, until=lambda: bool(caller.readings))
        reading = caller.readings[0]
        assert (reading.source, reading.emotion.label) == ("hume", "angry")
        assert reading.emotion.score == pytest.approx(0.8)
        assert reading.scores["frustrated"] == pytest.approx(0.4)
        assert 2900 <= reading.end_ms - reading.start_ms <= 3200
        assert 3000 <= reading.end_ms <= 4500
        assert 0 <= trio.current_time() - reading.heard_at < 2
        assert (hume.open, list(hume.refused)) == (1, [])
        assert hume.sessions[0].configured == 1


async def test_audio_that_came_in_a_burst_is_never_sent_faster_than_real_time_and_the_oldest_never() -> None:
    async with FakeHume.serve(angry) as hume, calling(engine_for(hume)) as caller:
        await caller.speak(1.0)
        began_ms = hume.sessions[0].accepted_ms
        for _ in range(40):  # four seconds at once
            caller._session.hear(PcmChunk(np.full(800, 3000, dtype=np.int16), 0, trio.current_time()))
        await trio.sleep(2)
        assert not hume.refused
        assert 0 < hume.sessions[0].accepted_ms - began_ms <= 100 * (BACKLOG + 1)


async def test_silence_costs_no_reading_and_no_complaint() -> None:
    async with FakeHume.serve(angry) as hume, calling(engine_for(hume)) as caller:
        await caller.speak(1.5, loud=False)
        caller.miss(400)
        await caller.speak(0.5, loud=False)
        assert caller.readings == []
        assert not hume.refused


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("refuse", EngineUnavailable),
        ("drop", EngineUnavailable),
        ("restart", EngineUnavailable),
        ("internal_error", EngineUnavailable),
        ("unauthorized", EngineRefused),
    ],
)
async def test_an_outage_is_said_as_what_it_is(fault: str, kind: type[Exception]) -> None:
    async with FakeHume.serve(angry) as hume:
        hume.fault = fault  # type: ignore[assignment]
        async with calling(engine_for(hume)) as caller:
            with pytest.raises(kind):
                await caller.speak(5)


@pytest.mark.parametrize("fault", ["stall", "mute"])
async def test_a_vendor_that_says_nothing_is_given_up(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed_session, "CONFIGURED_S", 0.5)
    async with FakeHume.serve(angry) as hume:
        hume.fault = fault  # type: ignore[assignment]
        async with calling(engine_for(hume, quiet_ms=1500)) as caller:
            with pytest.raises(EngineUnavailable):
                await caller.speak(5)


async def test_refused_frames_do_not_advance_the_clock_and_the_session_goes_on() -> None:
    async with FakeHume.serve(angry) as hume, calling(engine_for(hume)) as caller:
        hume.fault = "rate_limit"
        await caller.speak(2)
        hume.fault = None
        await caller.speak(6, until=lambda: bool(caller.readings))
        assert "rate_limited" in hume.refused
        assert caller.readings
        assert len(hume.sessions) == 1


async def test_nonsense_is_passed_over() -> None:
    async with FakeHume.serve(angry) as hume:
        hume.fault = "nonsense"
        async with calling(engine_for(hume)) as caller:
            await caller.speak(6, until=lambda: bool(caller.readings))
            assert caller.readings


async def test_a_call_uses_no_more_than_its_share_over_all_its_sessions() -> None:
    async with FakeHume.serve(angry) as hume:
        engine = engine_for(hume, seconds=1.0)
        async with calling(engine) as caller:
            with pytest.raises(EngineRefused, match="hume_seconds_per_call"):
                await caller.speak(4)
        assert hume.audio_s <= 1.0
        with pytest.raises(EngineRefused):
            async with calling(engine):
                pass
        async with calling(engine, "CA2") as other:  # another call is not held back by it
            await other.speak(0.9)
        assert hume.audio_s > 1.0


async def test_there_are_never_more_sessions_than_allowed() -> None:
    async with FakeHume.serve(angry) as hume:
        engine = engine_for(hume, sessions=1)
        async with calling(engine):
            with pytest.raises(EngineUnavailable):
                async with calling(engine, "CA2"):
                    pass
        async with calling(engine, "CA2"):
            pass


async def test_a_vendor_that_is_down_is_not_asked_by_every_call() -> None:
    async with FakeHume.serve(angry) as hume:
        hume.fault = "refuse"
        engine = engine_for(hume)
        for number in range(12):
            with pytest.raises(EngineUnavailable):
                async with calling(engine, f"CA{number}") as caller:
                    await caller.speak(2)
        assert hume.handshakes <= 6


async def test_a_wrong_key_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeHume.serve(angry) as hume:
        engine = engine_for(hume, key="wrong")
        for number in range(3):
            with pytest.raises(EngineRefused, match="HUME_API_KEY"):
                async with calling(engine, f"CA{number}") as caller:
                    await caller.speak(2)
        assert hume.handshakes == 1


async def test_leaving_says_goodbye_and_frees_the_session() -> None:
    async with FakeHume.serve(angry) as hume:
        async with calling(engine_for(hume)) as caller:
            await caller.speak(0.5)
        with trio.fail_after(2):
            while hume.open:  # noqa: ASYNC110
                await trio.sleep(0.01)


async def test_opening_never_waits_for_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed_engine, "CONNECT_S", 0.2)
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]  # nobody accepts
    url = f"ws://127.0.0.1:{listener.socket.getsockname()[1]}"
    vendor = Hume(base_url=url, api_key="k", expressions=load())
    engine = StreamedEngine(vendor, Allowance("Hume", seconds_per_call=9, sessions=9))
    async with listener:
        with trio.fail_after(5):
            async with engine.open("CA1") as session:
                caller = Caller(session)
                with pytest.raises(EngineUnavailable):
                    await caller.speak(3)


def test_a_name_belongs_to_the_label_that_names_it_before_any_stem() -> None:
    table = load()
    assert table.label_of("Anger") == "angry"
    assert table.label_of("feeling frustrated") == "frustrated"
    assert table.label_of("aesthetic appreciation") is None
    assert table.scores([Score("aesthetic appreciation", 0.9)])["neutral"] == 1.0
    assert table.unseen == 1


def test_nothing_found_is_a_calm_voice_and_not_a_failure() -> None:
    assert dominant(load().scores([])).label == "neutral"
