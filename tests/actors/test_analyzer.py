"""windows -> readings: an engine may be slow, wrong or gone, and the call must not notice."""

from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
import structlog
import trio
from trio.testing import MockClock

from agent.actors.analyzer import Analyzer, Ear
from agent.actors.channels import WhenFull, open_channel
from agent.actors.incoming import Heard
from agent.actors.supervision import RestartPolicy
from agent.core.audio import Gap, PcmChunk, Window
from agent.core.emotion import FAILED, Emotion, EmotionReading
from agent.errors import EngineRefused, EngineUnavailable
from agent.logs import configure
from agent.ports import Engine, EngineSession
from agent.testing import Fault, ScriptedEngine

ANGRY = Emotion("angry", 0.9)
HOP_S = 0.2
PATIENCE_S = 0.5
DEPTH = 2
"""Windows that wait, beside the one the engine is asked about."""


class Scene:
    """An analyzer between a decoder that never waits and an aggregator that takes whatever comes."""

    def __init__(self, engine: Engine | None = None, policy: RestartPolicy | None = None) -> None:
        self.engine = engine or ScriptedEngine({0: ANGRY})
        self.ear = Ear()
        self.events: list[tuple[str, str]] = []
        self.windows, self._windows = open_channel(Window, DEPTH, WhenFull.DROP_OLDEST)
        self._readings, self._heard = open_channel(Heard, 8, WhenFull.WAIT)
        self.readings: list[tuple[float, EmotionReading]] = []
        self.ended_at = -1.0
        policy = policy or RestartPolicy(jitter=0.0)
        self._analyzer = Analyzer(self.engine, "CA1", self.ear, self, patience_s=PATIENCE_S, policy=policy)

    def record(self, event: str, **fields: object) -> None:
        self.events.append((event, str(fields["reason"])))

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._collect)
            await self._analyzer.run(self._windows, self._readings)
            self.ended_at = trio.current_time()

    async def _collect(self) -> None:
        async for heard in self._heard:
            self.readings.append((trio.current_time(), heard.reading))

    async def speak(self, seconds: float) -> None:
        """A window every hop."""
        for _ in range(round(seconds / HOP_S)):
            await trio.sleep(HOP_S)
            self.windows.offer(window(trio.current_time()))

    def hang_up(self) -> None:
        self.windows.close()

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.events]

    @property
    def sources(self) -> set[str]:
        return {reading.source for _, reading in self.readings}


def window(now: float) -> Window:
    end_ms = round(1000 * now)
    return Window(end_ms - 1_500, end_ms, 1_000, 0, now)


@asynccontextmanager
async def analysing(scene: Scene) -> AsyncIterator[Scene]:
    """The analyzer at work; leaving the block hangs up, after which it has to end in time."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.run)
        yield scene
        hung_up_at = trio.current_time()
        scene.hang_up()
    assert scene.ended_at - hung_up_at <= (1 + DEPTH) * PATIENCE_S + 1e-6


async def test_every_window_becomes_a_reading_while_the_engine_is_well(autojump_clock: MockClock) -> None:
    async with analysing(Scene()) as scene:
        await scene.speak(4.0)
    assert [reading.emotion for _, reading in scene.readings] == [ANGRY] * 20
    assert all(at == reading.heard_at for at, reading in scene.readings), "and at once"
    assert scene.events == []


class Prompted:
    """An engine that has its answer at hand for its first so many windows, and then stalls or fails."""

    name = "prompt"

    def __init__(self, answers: int, fault: Exception | None = None) -> None:
        self.left, self.fault, self.waited = answers, fault, 0

    @asynccontextmanager
    async def open(self, call_sid: str) -> AsyncIterator["Prompted"]:
        yield self

    def hear(self, sound: PcmChunk | Gap) -> None: ...

    def read_at_once(self, window: Window) -> EmotionReading | None:
        self.left -= 1
        if self.left < 0 and self.fault is not None:
            raise self.fault
        return EmotionReading(ANGRY, "local", 0, 1500, window.heard_at) if self.left >= 0 else None

    async def read(self, window: Window) -> EmotionReading:
        self.waited += 1
        await trio.sleep_forever()
        raise AssertionError


async def test_an_answer_at_hand_is_taken_and_patience_kept_where_there_is_none(autojump_clock: MockClock) -> None:
    engine = Prompted(3)
    async with analysing(Scene(engine)) as scene:
        await scene.speak(0.8)
        await trio.sleep(PATIENCE_S)
        assert engine.waited == 1
    assert [reading.source for _, reading in scene.readings] == ["local"] * 3 + ["fallback"]
    assert scene.readings[-1][0] == pytest.approx(0.8 + PATIENCE_S)
    assert scene.events == [("analyzer.degraded", "slow")]


async def test_what_fails_at_once_is_an_outage_like_any_other(autojump_clock: MockClock) -> None:
    engine = Prompted(1, EngineUnavailable("gone"))
    async with analysing(Scene(engine)) as scene:
        await scene.speak(0.4)
    assert [reading.source for _, reading in scene.readings] == ["local", "fallback"]
    assert scene.events == [("analyzer.degraded", "unavailable: gone")]
    assert engine.waited == 0


async def test_a_stalled_engine_costs_its_patience_and_the_newest_window_is_next(autojump_clock: MockClock) -> None:
    engine = ScriptedEngine({0: ANGRY})
    engine.fault = Fault("stall", times=1)
    async with analysing(Scene(engine)) as scene:
        await scene.speak(2.0)
    (stalled_at, stalled), (answered_at, answered), *_ = scene.readings
    assert [stalled_at, stalled.heard_at] == pytest.approx([0.7, 0.2])
    assert (stalled.emotion, stalled.source, stalled.speech_ms) == (FAILED, "fallback", 1_000)
    assert answered_at == pytest.approx(0.7)
    assert answered_at - answered.heard_at < 0.31, "of the windows that came meanwhile, only the newest two wait"
    assert answered.emotion == ANGRY
    assert scene.names == ["analyzer.degraded", "analyzer.recovered"]


async def test_an_engine_that_stays_stalled_is_degraded_once_and_yields_fallbacks_only(
    autojump_clock: MockClock,
) -> None:
    engine = ScriptedEngine({0: ANGRY})
    engine.fault = Fault("stall")
    async with analysing(Scene(engine)) as scene:
        await scene.speak(60.0)
    assert scene.sources == {"fallback"}
    assert scene.names == ["analyzer.degraded"]
    ages = [at - reading.heard_at for at, reading in scene.readings if at <= 60]
    assert max(ages) <= (DEPTH + 1) * HOP_S + PATIENCE_S + 1e-6


async def test_an_answer_that_comes_too_late_is_never_heard(autojump_clock: MockClock) -> None:
    engine = ScriptedEngine({0: ANGRY})
    engine.fault = Fault("delay", seconds=PATIENCE_S + 0.01)
    async with analysing(Scene(engine)) as scene:
        await scene.speak(5.0)
    assert scene.sources == {"fallback"}


async def test_an_engine_slow_within_its_patience_is_not_degraded(autojump_clock: MockClock) -> None:
    engine = ScriptedEngine({0: ANGRY})
    engine.fault = Fault("delay", seconds=PATIENCE_S - 0.01)
    async with analysing(Scene(engine)) as scene:
        await scene.speak(5.0)
    assert (scene.sources, scene.events) == ({"local"}, [])


@pytest.mark.parametrize("kind", ["unavailable", "crash", "stall"])
async def test_an_outage_is_said_once_and_so_is_the_recovery(autojump_clock: MockClock, kind: str) -> None:
    engine = ScriptedEngine({0: ANGRY})
    engine.fault = Fault(kind, until=5.0)  # type: ignore[arg-type]
    async with analysing(Scene(engine)) as scene:
        await scene.speak(20.0)
    assert scene.names == ["analyzer.degraded", "analyzer.recovered"]
    assert scene.readings[0][1].source == "fallback"
    assert scene.readings[-1][1].source == "local"


async def test_each_outage_has_its_own_pair_of_events(autojump_clock: MockClock) -> None:
    engine = ScriptedEngine({0: ANGRY})
    async with analysing(Scene(engine)) as scene:
        for _ in range(3):
            await scene.speak(2.0)
            engine.fault = Fault("unavailable", times=1)
            await scene.speak(2.0)
    assert scene.names == ["analyzer.degraded", "analyzer.recovered"] * 3


async def test_a_refusal_is_final_and_the_call_goes_on_unread(autojump_clock: MockClock) -> None:
    engine = ScriptedEngine({0: ANGRY})
    engine.fault = Fault("refused", times=1)
    async with analysing(Scene(engine)) as scene:
        await scene.speak(300.0)
    assert len(engine.sessions) == 1
    assert scene.sources == {"fallback"}
    assert len(scene.readings) == 1500
    assert [(name, reason[:7]) for name, reason in scene.events] == [("analyzer.degraded", "refused")]


async def test_an_engine_that_does_not_open_is_tried_again(autojump_clock: MockClock) -> None:
    engine = ScriptedEngine({0: ANGRY})
    engine.fault = Fault("refuse_open", times=3)
    async with analysing(Scene(engine)) as scene:
        await scene.speak(10.0)
    assert scene.names == ["analyzer.degraded", "analyzer.recovered"]
    assert scene.readings[-1][1].emotion == ANGRY


async def test_a_dead_engine_is_probed_now_and_then_and_not_hammered(autojump_clock: MockClock) -> None:
    engine = ScriptedEngine()
    engine.fault = Fault("unavailable")
    async with analysing(Scene(engine)) as scene:
        await scene.speak(600.0)
    assert 10 < len(engine.sessions) < 90
    assert scene.names == ["analyzer.degraded"]


async def test_what_an_engine_raises_is_told_by_its_name_and_never_by_its_text(autojump_clock: MockClock) -> None:
    engine = ScriptedEngine()
    engine.fault = Fault("crash", times=1)
    async with analysing(Scene(engine)) as scene:
        await scene.speak(1.0)
    assert scene.events[0] == ("analyzer.degraded", "unavailable: it failed with RuntimeError")


def logged(entry: MutableMapping[str, Any]) -> str:
    """A log entry as the service writes it."""
    configure()
    processors = structlog.get_config()["processors"]
    structlog.reset_defaults()
    for process in processors:
        entry = process(None, "error", entry)
    return str(entry)


async def test_what_an_engine_raises_is_not_logged_with_its_text_nor_with_what_it_held(
    autojump_clock: MockClock,
) -> None:
    def judge(window: Window) -> EmotionReading:
        held = "what the caller's voice " + "said"
        raise ValueError(held)

    with structlog.testing.capture_logs() as entries:
        async with analysing(Scene(ScriptedEngine(judge))) as scene:
            await scene.speak(0.2)
    (entry,) = entries
    text = logged(entry)
    assert "ValueError" in text
    assert "what the caller's voice said" not in text


# --- Hanging up ---


@pytest.mark.parametrize("kind", ["unavailable", "refused", "crash", "refuse_open"])
async def test_a_hang_up_in_the_middle_of_an_outage_ends_at_once(autojump_clock: MockClock, kind: str) -> None:
    engine = ScriptedEngine()
    engine.fault = Fault(kind)  # type: ignore[arg-type]
    with trio.fail_after(60):
        async with analysing(Scene(engine)) as scene:
            await scene.speak(15.0)
    assert scene.ended_at == pytest.approx(15.0)


async def test_a_hang_up_during_a_stall_waits_for_no_more_than_the_windows_that_are_left(
    autojump_clock: MockClock,
) -> None:
    engine = ScriptedEngine()
    engine.fault = Fault("stall")
    async with analysing(Scene(engine)) as scene:
        await scene.speak(0.2)
        await trio.sleep(0.1)
    assert scene.ended_at == pytest.approx(0.2 + PATIENCE_S)
    assert len(scene.readings) == 1


# --- Engines that fail in other places ---


def no_trouble() -> None:
    """Nothing is wrong with this one."""


class OddEngine:
    """Opens after `opens_s`, and has trouble where it is told to. Recovers when the trouble is taken away."""

    name = "odd"

    def __init__(
        self,
        *,
        opens_s: float = 0.0,
        closes_s: float = 0.0,
        hearing: Callable[[], None] = no_trouble,
        reading: Callable[[], None] = no_trouble,
        closing: Callable[[], None] = no_trouble,
    ) -> None:
        self.opens_s, self.closes_s = opens_s, closes_s
        self.hearing, self.reading, self.closing = hearing, reading, closing
        self.opened = 0
        self.heard: list[int] = []

    @asynccontextmanager
    async def open(self, call_sid: str) -> AsyncIterator[EngineSession]:
        self.opened += 1
        await trio.sleep(self.opens_s)
        yield self
        await trio.sleep(self.closes_s)
        self.closing()

    def hear(self, sound: PcmChunk | Gap) -> None:
        self.hearing()
        self.heard.append(sound.start_ms)

    async def read(self, window: Window) -> EmotionReading:
        await trio.lowlevel.checkpoint()
        self.reading()
        return EmotionReading(ANGRY, "local", window.start_ms, window.end_ms, window.heard_at)


def raising(fault: Exception) -> Callable[[], None]:
    def trouble() -> None:
        raise fault

    return trouble


def chunk(start_ms: int) -> PcmChunk:
    return PcmChunk(np.zeros(800, np.int16), start_ms, 0.0)


@pytest.mark.parametrize("fault", [ValueError("what a caller said"), EngineUnavailable("full")])
async def test_an_engine_that_fails_while_hearing_never_reaches_the_decoder_and_is_opened_anew(
    autojump_clock: MockClock, fault: Exception
) -> None:
    engine = OddEngine(hearing=raising(fault))
    async with analysing(Scene(engine)) as scene:
        await trio.sleep(0.1)
        scene.ear.hear(chunk(0))
        engine.hearing = no_trouble
        scene.ear.hear(chunk(100))
        await scene.speak(2.0)
        scene.ear.hear(chunk(200))
    assert engine.heard == [200], "a session that failed hears nothing more"
    assert engine.opened == 2
    assert scene.names == ["analyzer.degraded", "analyzer.recovered"]
    assert "what a caller said" not in str(scene.events)


async def test_an_engine_that_refuses_while_hearing_is_not_opened_again(autojump_clock: MockClock) -> None:
    engine = OddEngine(hearing=raising(EngineRefused("no quota")))
    async with analysing(Scene(engine)) as scene:
        await trio.sleep(0.1)
        scene.ear.hear(chunk(0))
        await scene.speak(100.0)
    assert (engine.opened, scene.sources) == (1, {"fallback"})


def test_an_ear_without_a_session_hears_and_forgets() -> None:
    ear = Ear()
    ear.hear(chunk(0))
    ear.check()


async def test_an_engine_that_never_opens_is_given_up_after_its_patience(autojump_clock: MockClock) -> None:
    async with analysing(Scene(OddEngine(opens_s=float("inf")))) as scene:
        await scene.speak(60.0)
    assert scene.events == [("analyzer.degraded", "unavailable: it did not open in time")]
    assert scene.sources == {"fallback"}
    assert len(scene.readings) > 200, "its windows are answered meanwhile"


async def test_an_engine_that_never_finishes_closing_does_not_end_the_reading_of_the_call(
    autojump_clock: MockClock,
) -> None:
    engine = OddEngine(reading=raising(EngineUnavailable("reset")))

    @asynccontextmanager
    async def open_and_never_close(call_sid: str) -> AsyncIterator[EngineSession]:
        engine.opened += 1
        try:
            yield engine
        finally:
            await trio.sleep_forever()

    engine.open = open_and_never_close  # type: ignore[method-assign]
    scene = Scene(engine)
    with trio.move_on_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.run)
            await scene.speak(1.0)
            engine.reading = no_trouble
            await scene.speak(8.0)
    assert engine.opened > 1
    assert scene.readings[-1][1].source == "local"


async def test_an_engine_whose_closing_fails_is_an_outage_and_not_a_crash(autojump_clock: MockClock) -> None:
    async with analysing(Scene(OddEngine(closing=raising(RuntimeError("already closed"))))) as scene:
        await scene.speak(1.0)
    assert len(scene.readings) == 5


async def test_a_refusal_inside_the_group_of_an_engines_own_nursery_is_still_a_refusal(
    autojump_clock: MockClock,
) -> None:
    engine = OddEngine(reading=raising(ExceptionGroup("nursery", [EngineRefused("no quota")])))
    async with analysing(Scene(engine)) as scene:
        await scene.speak(60.0)
    assert engine.opened == 1
    assert scene.events == [("analyzer.degraded", "refused: no quota")]


@pytest.mark.parametrize("fault", [EngineUnavailable("reset"), RuntimeError("already closed")])
async def test_an_outage_stays_one_where_the_call_ends_while_an_engines_own_nursery_closes(
    autojump_clock: MockClock, fault: Exception
) -> None:
    engine = OddEngine(reading=raising(fault))

    async def takes_leave() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.3)

    @asynccontextmanager
    async def open_in_a_nursery(call_sid: str) -> AsyncIterator[EngineSession]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(takes_leave)
            yield engine

    engine.open = open_in_a_nursery  # type: ignore[method-assign]
    scene = Scene(engine)
    with trio.move_on_after(0.4):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.run)
            await scene.speak(1.0)
    assert trio.current_time() == pytest.approx(0.5)
    assert scene.names == ["analyzer.degraded"]
