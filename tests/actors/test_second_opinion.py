"""A second engine is asked beside the call, only while ours is in doubt, and its troubles stay its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from agent.actors.channels import Inbox, WhenFull, open_channel
from agent.actors.incoming import Heard, Incoming
from agent.actors.second_opinion import LINGER_S, SecondOpinion
from agent.core.audio import Window
from agent.core.emotion import LABELS, Emotion, EmotionReading, Mood, Trend
from agent.core.opinion import Band
from agent.core.rules import Decision
from agent.testing import Fault, ScriptedEngine

DECISION = Decision(Mood(Emotion("angry", 0.9), Trend.RISING, 3, 0.0))


class Events:
    def __init__(self) -> None:
        self.seen: list[str] = []

    def record(self, event: str, **fields: Any) -> None:
        self.seen.append(event)


def local(score: float, end_ms: int = 2000) -> EmotionReading:
    rest = (1.0 - score) / 5
    scores = {label: rest for label in LABELS} | {"angry": score}
    return EmotionReading(Emotion("angry", score), "local", end_ms - 1500, end_ms, 0.0, scores, 1.0, 1400)


def hume(window: Window) -> EmotionReading:
    return EmotionReading(
        Emotion("angry", 0.95), "hume", window.start_ms, window.end_ms, window.heard_at, {"angry": 0.95}
    )


class Stage:
    """A second opinion at work, and a caller of whom our own engine says something every 200 ms."""

    def __init__(self, engine: ScriptedEngine, said: Inbox[Incoming]) -> None:
        self.engine, self.said, self.events = engine, said, Events()
        self.second = SecondOpinion(engine, "CA1", self.events, Band(0.4, 0.85), patience_s=0.5)
        self._now_ms = 0

    async def say(self, score: float, seconds: float) -> EmotionReading:
        moved = local(score)
        for _ in range(round(seconds * 5)):
            await trio.sleep(0.2)
            self._now_ms += 200
            moved = self.second.consider(local(score, self._now_ms + 1500), trio.current_time())
            self._fold()
        return moved

    def _fold(self) -> None:
        """What the aggregator does with the second engine's readings: each is considered too."""
        while True:
            try:
                heard = self.said.receive_nowait()
            except (trio.WouldBlock, trio.EndOfChannel):
                return
            assert isinstance(heard, Heard)
            self.second.consider(heard.reading, trio.current_time())


@asynccontextmanager
async def stage(engine: ScriptedEngine) -> AsyncIterator[Stage]:
    outbox, inbox = open_channel(Incoming, 8, WhenFull.WAIT)
    async with trio.open_nursery() as nursery:
        staged = Stage(engine, inbox)
        nursery.start_soon(staged.second.run, outbox)
        yield staged
        nursery.cancel_scope.cancel()


def second_engine() -> ScriptedEngine:
    return ScriptedEngine(hume, name="hume")


@pytest.mark.parametrize("score", [0.1, 0.95])
async def test_a_caller_of_whom_we_are_sure_costs_nothing(autojump_clock: object, score: float) -> None:
    async with stage(second_engine()) as staged:
        await staged.say(score, 20)
        assert not staged.engine.sessions


async def test_in_doubt_the_second_engine_is_asked_and_moves_our_belief(autojump_clock: object) -> None:
    async with stage(second_engine()) as staged:
        moved = await staged.say(0.6, 5)
        assert len(staged.engine.sessions) == 1
        assert moved.anger > 0.8
        assert moved.source == "local"


async def test_its_session_is_closed_soon_after_the_last_doubt(autojump_clock: object) -> None:
    async with stage(second_engine()) as staged:
        await staged.say(0.6, 1)
        await staged.say(0.1, LINGER_S + 1)
        reads = staged.engine.sessions[0].reads
        await staged.say(0.1, 10)
        assert staged.engine.sessions[0].reads == reads
        await staged.say(0.6, 1)
        assert len(staged.engine.sessions) == 2


async def test_its_outage_is_said_and_holds_up_nothing(autojump_clock: object) -> None:
    async with stage(second_engine()) as staged:
        staged.engine.fault = Fault("stall")
        began = trio.current_time()
        moved = await staged.say(0.6, 5)
        assert trio.current_time() - began == pytest.approx(5)
        assert moved.anger == pytest.approx(0.6)
        assert staged.events.seen == ["analyzer.degraded"]
        staged.engine.fault = None
        await staged.say(0.6, 40)
        assert staged.events.seen == ["analyzer.degraded", "analyzer.recovered"]


async def test_a_transfer_waits_for_an_answer_that_is_under_way_and_no_longer(autojump_clock: object) -> None:
    async with stage(second_engine()) as staged:
        began = trio.current_time()
        assert await staged.second.confirm(DECISION)  # nobody is being asked
        assert trio.current_time() == began
        staged.engine.fault = Fault("stall")
        await staged.say(0.6, 1)
        with trio.move_on_after(4.0) as patience:
            await staged.second.confirm(DECISION)
        assert patience.cancelled_caught


async def test_a_transfer_is_not_wanted_where_the_second_engine_hears_a_calm_voice(autojump_clock: object) -> None:
    calm = EmotionReading(Emotion("neutral", 0.9), "hume", 0, 3000, 0.0, {"angry": 0.1})
    async with stage(ScriptedEngine(lambda window: calm, name="hume")) as staged:
        await staged.say(0.6, 1)
        assert not await staged.second.confirm(DECISION)


class SlowToClose(ScriptedEngine):
    """Says goodbye for a while, as vendors over the network are told."""

    @asynccontextmanager
    async def open(self, call_sid: str) -> AsyncIterator[Any]:
        async with super().open(call_sid) as session:
            try:
                yield session
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(0.3)


async def test_our_own_readings_go_on_while_its_session_closes(autojump_clock: object) -> None:
    async with stage(SlowToClose(hume, name="hume")) as staged:
        for _ in range(3):
            await staged.say(0.6, 1)
            await staged.say(0.1, LINGER_S + 2)
        assert len(staged.engine.sessions) == 3
        staged.second.close()
        await staged.say(0.6, 1)
