"""Memory that grows until the process is killed."""

import gc
import pickle
import sys
from itertools import cycle, islice

import pytest
import trio
from trio.testing import MockClock

from agent.core import mulaw
from agent.core.audio import MediaFrame, PcmChunk
from agent.engines.local import LocalEngine
from agent.ledger.memory import MemoryLedger
from agent.testing import ScriptedEngine, ScriptedLine
from agent.testing.engines import reading

from ..calls.stage import ANGRY, CALM, VOICE, Stage, open_stage

FRAME = 8000
"""Bytes in a frame of the long call, a second: fewer and longer ones, for a test has less time than a caller."""
MAY_STAY = 4000
"""Blocks: Trio throws deadlines that have passed away now and then, and not at once."""


class Forgetful(MemoryLedger):
    """What is on disk is not in memory."""

    def begin(self, call_sid: str, *, caller: str, model: str = "", settings: str = "") -> None:
        return

    def append(self, call_sid: str, line: bytes) -> None:
        return

    def keep(self, call_sid: str, step: bytes) -> None:
        return


class LongLine:
    """A caller who talks and listens without end."""

    def hang_up(self, code: int, reason: str) -> None:
        return

    async def talk(self, stage: Stage, call_sid: str, seconds: int, *, sequence: int = 0) -> None:
        mailbox = stage.directory.find(call_sid).mailbox  # type: ignore[union-attr]
        said = VOICE[: 20 * FRAME] + b"\xff" * (40 * FRAME)
        frames = [said[at : at + FRAME] for at in range(0, len(said), FRAME)]
        for number, frame in enumerate(islice(cycle(frames), seconds * 8000 // FRAME), start=sequence):
            await trio.sleep(FRAME / 8000)
            mailbox.hear(self, MediaFrame(number, number * FRAME // 8, frame, trio.current_time()))


def blocks() -> int:
    """Of memory in use by objects of any kind."""
    gc.collect()
    return sys.getallocatedblocks()


async def test_an_hour_of_one_call_costs_no_more_memory_than_its_first_minutes(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pipecat#3750: about 1 MB a minute; pipecat#3116, docs#1049, vocode-core#741: growth until killed."""
    monkeypatch.setattr("agent.calls.broadcast.KEPT", 100)
    moods = cycle([CALM] * 50 + [ANGRY] * 50)
    engine = ScriptedEngine()
    engine.script = lambda window: reading(next(moods), window)
    async with open_stage(engine) as stage:
        stage.directory._ledger = Forgetful()
        call, line = stage.ring(), LongLine()
        call.mailbox.connect(line, 1)
        await line.talk(stage, "CA1", 300)
        before = blocks()
        await line.talk(stage, "CA1", 3300, sequence=300 * 8000 // FRAME)
        assert call.timeline.counts["audio.chunk"] > 3_000
        assert blocks() - before < MAY_STAY
        assert call.buffer_size <= 50
        assert call.mailbox.dropped == 0


async def test_the_engine_remembers_no_more_of_a_long_call_than_of_a_short_one() -> None:
    """pipecat docs#1049: recordings were held whole in memory."""
    samples = mulaw.decode(VOICE[: 8000 * 20])
    async with LocalEngine().open("CA1") as session:
        sizes = []
        for number in range(4):
            session.hear(PcmChunk(samples, number * 20_000, 0.0))
            sizes.append(len(pickle.dumps(session)))
    assert sizes[-1] <= 1.05 * sizes[0]


async def test_a_thousand_refused_callers_leave_nothing_behind(autojump_clock: MockClock) -> None:
    """aplisay/llm-agent#285: a leak for every refused call."""
    async with open_stage(max_calls=1) as stage:
        stage.ring()
        assert stage.directory.register("CA-first", caller="") is None
        before, tasks = blocks(), trio.lowlevel.current_statistics().tasks_living
        for number in range(1000):
            assert stage.directory.register(f"CA-{number}", caller="+15550100001") is None
        assert trio.lowlevel.current_statistics().tasks_living == tasks
        assert blocks() - before < MAY_STAY


async def test_hundreds_of_ended_calls_leave_nothing_behind(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """livekit/agents#1186, #2166: memory that did not drop again after a thousand rooms."""
    monkeypatch.setattr("agent.calls.broadcast.KEPT", 10)
    engine = ScriptedEngine()
    async with open_stage(engine) as stage:
        stage.directory._ledger = Forgetful()

        async def serve(calls: int) -> int:
            for number in range(calls):
                call = stage.ring(f"CA{number}")
                assert await ScriptedLine(VOICE[:1600]).play(call.mailbox)
                call.stream_ended()
                await stage.gone(call)
            engine.sessions.clear()
            await trio.sleep(2)
            return blocks()

        before = await serve(20)
        assert await serve(300) - before < MAY_STAY  # a call has hundreds of blocks


async def test_no_frame_costs_a_hop_to_a_thread(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """pipecat#3218: a hop to an executor for every 10 ms frame made a queue without a bound."""

    def hop(*_: object, **__: object) -> None:
        raise AssertionError("a thread was asked for")

    monkeypatch.setattr("trio.to_thread.run_sync", hop)
    async with open_stage(LocalEngine()) as stage:  # type: ignore[arg-type]
        call = stage.ring()
        await stage.talk(call, 3)
        await stage.gone(call)
        assert stage.outcome(call) == "hangup"
        assert stage.events(call, "audio.chunk")


async def test_a_lasting_mood_is_told_once_however_often_it_is_read(autojump_clock: MockClock) -> None:
    """hume-react-sdk#300: the context grew with every reading until the socket broke with 1009."""
    async with open_stage(ScriptedEngine({0: ANGRY})) as stage:
        call = stage.ring()
        await stage.talk(call, 20)
        await stage.gone(call)
        assert len(stage.events(call, "audio.chunk")) > 80
        assert len(stage.assistant.told) == 1


async def test_a_note_says_that_it_takes_the_place_of_those_before_it(autojump_clock: MockClock) -> None:
    """hume-react-sdk#300, for the notes that are told after all."""
    async with open_stage(ScriptedEngine({0: ANGRY, 8000: CALM})) as stage:
        call = stage.ring()
        await stage.talk(call, 15)
        await stage.gone(call)
        assert [told.what.mood.emotion.label for told in stage.assistant.told] == ["angry", "neutral"]  # type: ignore[union-attr]
        assert all("Replaces earlier" in told.what.note for told in stage.assistant.told)  # type: ignore[union-attr]
