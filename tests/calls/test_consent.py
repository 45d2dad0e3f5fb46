"""Nobody is listened to before they were told, nor after they have said no: whole calls, on a jumping clock."""

import gc
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest
import trio
import trio.testing
from numpy.typing import NDArray
from trio.testing import MockClock

from agent.actors.analyzer import Ear
from agent.actors.channels import WhenFull, open_channel
from agent.actors.decoder import Decoder
from agent.actors.incoming import Order, Verdict
from agent.calls.call import Call
from agent.calls.consent import Consent
from agent.calls.mailbox import Mailbox
from agent.core.audio import Block, Gap, MediaFrame, PcmChunk, Window
from agent.core.emotion import Emotion, EmotionReading, Gated, Mood, Trend
from agent.core.frames import BlockCutter
from agent.core.pitch import PitchTracker
from agent.engines.local import LocalEngine
from agent.engines.local.session import LocalSession
from agent.settings import NoticeSettings
from agent.testing import Fault, ScriptedEngine, ScriptedLine

from .stage import ANGRY, CALM, VOICE, Stage, open_stage

INFERRED = {"audio.chunk", "context.updated", "context.failed", "tts.cancelled", "escalation.started"}


def outside(label: str = "angry", score: float = 0.95) -> EmotionReading:
    return EmotionReading(Emotion(label, score), "webhook", 0, 0, trio.current_time())


def since(stage: Stage, call: Call, event: str) -> list[str]:
    """The names of what was recorded after this event."""
    names = stage.names(call)
    return names[names.index(event) + 1 :]


# --- Before the notice ---


async def test_nothing_is_inferred_before_the_caller_has_been_told(autojump_clock: MockClock) -> None:
    async with open_stage(ScriptedEngine({0: ANGRY}), require_notice=True) as stage, trio.open_nursery() as nursery:
        call = stage.ring()
        relayed: list[MediaFrame] = []
        call.mailbox.sink = relayed.append
        nursery.start_soon(stage.talk, call, 20.0)
        await trio.sleep(8)
        verdict = await call.hear(outside())
        assert (verdict.refused, verdict.buffer_size) == (Gated.NO_NOTICE, 0)
        assert stage.names(call) in ([], ["call.started"])
        assert not stage.engine.sessions or stage.engine.sessions[0].heard_ms == 0
        assert not stage.assistant.told
        call.notice_played("first message")
        call.notice_played("first message")
        await trio.sleep(13)
        call.mailbox.sink = None
        await stage.gone(call)
        assert [event["how"] for event in stage.events(call, "notice.played")] == ["first message"]
        assert stage.events(call, "audio.chunk")[0]["t"] > 8000
        assert stage.engine.sessions[0].heard_ms <= 12_100
        assert stage.events(call, "context.updated")
        assert len(relayed) == 1000  # whoever carries the call carries all of it


async def test_a_stream_that_comes_after_a_spoken_notice_proves_that_it_was_heard(autojump_clock: MockClock) -> None:
    async with open_stage(require_notice=True) as stage:
        call = stage.ring()
        call.consent.notice_sent = True
        await stage.talk(call, 5)
        await stage.gone(call)
        assert stage.names(call)[:2] == ["call.started", "notice.played"]
        assert stage.events(call, "notice.played")[0]["how"] == "say"
        assert stage.events(call, "audio.chunk")


async def test_a_stream_alone_proves_nothing(autojump_clock: MockClock) -> None:
    async with open_stage(require_notice=True) as stage:
        call = stage.ring()
        await stage.talk(call, 15)
        await stage.gone(call)
        assert stage.names(call) == ["call.started", "call.ended"]
        assert stage.outcome(call) == "hangup"  # and not quiet: the line talks, though nobody listens


async def test_a_line_that_nobody_listens_to_can_still_go_quiet(autojump_clock: MockClock) -> None:
    async with open_stage(require_notice=True) as stage, trio.open_nursery() as nursery:
        call = stage.ring()
        nursery.start_soon(lambda: stage.talk(call, 15, hold=True))
        await trio.sleep(15 + 10 + 1.2)
        assert stage.outcome(call) == "quiet"
        assert stage.events(call, "call.ended")[0]["t"] == pytest.approx(25_000, abs=300)


@pytest.mark.parametrize(("attach", "told"), [("fork", 1), ("listen", 1), ("tap", 0), ("sip", 0), ("bridge", 0)])
async def test_the_first_message_is_the_notice_where_the_twiml_is_not_ours(
    autojump_clock: MockClock, attach: str, told: int
) -> None:
    async with open_stage(require_notice=True, attach=attach) as stage:
        call = stage.ring()
        call.first_message_spoken()
        assert call.listening is bool(told)
        assert len(stage.events(call, "notice.played")) == told


# --- After a no ---


async def test_after_a_no_nothing_is_read_recorded_or_acted_upon_and_the_call_goes_on(
    autojump_clock: MockClock,
) -> None:
    async with open_stage(ScriptedEngine({0: CALM, 5000: ANGRY})) as stage, trio.open_nursery() as nursery:
        call = stage.ring()
        nursery.start_soon(stage.talk, call, 18.0)
        await trio.sleep(8)
        call.assistant_speech(started=True)
        assert call.mood.emotion.label == "angry"
        reads, told = stage.engine.sessions[0].reads, len(stage.assistant.told)
        call.withdraw_consent("key")
        call.withdraw_consent("tool")
        call.stop_analysis()
        assert (call.mood.emotion.label, call.buffer_size) == ("neutral", 0)
        assert (await call.hear(outside())).refused is Gated.STOPPED
        await stage.gone(call)
        assert [event["how"] for event in stage.events(call, "consent.withdrawn")] == ["key"]
        assert not INFERRED.intersection(since(stage, call, "consent.withdrawn"))
        assert (stage.engine.sessions[0].reads, len(stage.assistant.told)) == (reads, told)
        (ended,) = stage.events(call, "call.ended")
        assert (ended["outcome"], ended["t"]) == ("hangup", pytest.approx(18_000, abs=200))
        assert (ended["summary"]["mood"]["label"], ended["summary"]["peakAnger"]) == ("neutral", 0)


async def test_a_reading_in_flight_comes_too_late(autojump_clock: MockClock) -> None:
    engine = ScriptedEngine({0: ANGRY})
    engine.fault = Fault("delay", seconds=0.15)
    async with open_stage(engine) as stage, trio.open_nursery() as nursery:
        call = stage.ring()
        nursery.start_soon(stage.talk, call, 12.0)
        await trio.sleep(6)
        before = engine.sessions[0].reads
        while engine.sessions[0].reads == before:  # noqa: ASYNC110 - a clock that jumps polls for nothing
            await trio.sleep(0.01)
        call.withdraw_consent("tool")
        await stage.gone(call)
        assert not INFERRED.intersection(since(stage, call, "consent.withdrawn"))


async def test_a_reading_from_outside_that_waits_comes_too_late(autojump_clock: MockClock) -> None:
    async with open_stage() as stage, trio.open_nursery() as nursery:
        call = stage.ring()
        await trio.testing.wait_all_tasks_blocked()
        verdicts = []

        async def post() -> None:
            verdicts.append(await call.hear(outside()))

        for _ in range(12):  # more than may wait
            nursery.start_soon(post)
        nursery.start_soon(withdraw, call)
        await trio.sleep(1)
        assert len(verdicts) == 12
        assert not INFERRED.intersection(since(stage, call, "consent.withdrawn"))
        assert verdicts[-1].refused is Gated.STOPPED
        call.stream_ended()


async def withdraw(call: Call) -> None:
    call.withdraw_consent("operator")


async def test_a_note_on_its_way_to_the_assistant_is_broken_off(autojump_clock: MockClock) -> None:
    async with open_stage(ScriptedEngine({0: ANGRY})) as stage, trio.open_nursery() as nursery:
        stage.assistant.fault = Fault("delay", seconds=1.0)
        call = stage.ring()
        nursery.start_soon(stage.talk, call, 10.0)
        while not stage.assistant.attempts:  # noqa: ASYNC110 - a clock that jumps polls for nothing
            await trio.sleep(0.01)
        call.withdraw_consent("key")
        stage.assistant.fault = None
        await stage.gone(call)
        assert not stage.assistant.told
        assert not INFERRED.intersection(since(stage, call, "consent.withdrawn"))


async def test_an_interruption_on_its_way_is_broken_off_unless_an_operator_wants_it(autojump_clock: MockClock) -> None:
    async with open_stage(ScriptedEngine({0: CALM, 3000: ANGRY})) as stage, trio.open_nursery() as nursery:
        stage.assistant.fault = Fault("delay", seconds=1.0)
        call = stage.ring()
        nursery.start_soon(stage.talk, call, 10.0)
        call.assistant_speech(started=True)
        while not stage.assistant.attempts:  # noqa: ASYNC110 - a clock that jumps polls for nothing
            await trio.sleep(0.01)
        call.withdraw_consent("key")
        await stage.gone(call)
        assert not stage.assistant.told
        assert not INFERRED.intersection(since(stage, call, "consent.withdrawn"))


async def test_an_operator_may_still_cut_in_after_a_no(autojump_clock: MockClock) -> None:
    async with open_stage() as stage, trio.open_nursery() as nursery:
        call = stage.ring()
        nursery.start_soon(stage.talk, call, 5.0)
        await trio.sleep(1)
        call.withdraw_consent("key")
        call.assistant_speech(started=True)
        await call.obey(Order("interrupt"))
        await stage.gone(call)
        (told,) = stage.assistant.told
        assert isinstance(told.what, str)
        assert [event["reason"] for event in stage.events(call, "tts.cancelled")] == ["operator"]


async def test_a_note_that_is_to_be_tried_again_is_not(autojump_clock: MockClock) -> None:
    async with open_stage(ScriptedEngine({0: ANGRY})) as stage, trio.open_nursery() as nursery:
        stage.assistant.fault = Fault("unavailable")
        call = stage.ring()
        nursery.start_soon(stage.talk, call, 20.0)
        while not stage.events(call, "context.failed"):  # noqa: ASYNC110
            await trio.sleep(0.01)
        call.withdraw_consent("key")
        stage.assistant.fault = None
        await stage.gone(call)
        assert not stage.assistant.told
        assert not INFERRED.intersection(since(stage, call, "consent.withdrawn"))


async def test_a_stop_for_another_reason_is_the_same_and_says_nothing_of_consent(autojump_clock: MockClock) -> None:
    async with open_stage(ScriptedEngine({0: ANGRY})) as stage, trio.open_nursery() as nursery:
        call = stage.ring()
        nursery.start_soon(stage.talk, call, 12.0)
        await trio.sleep(6)
        call.stop_analysis()
        chunks = len(stage.events(call, "audio.chunk"))
        await stage.gone(call)
        assert len(stage.events(call, "audio.chunk")) == chunks
        assert not stage.events(call, "consent.withdrawn")
        assert stage.events(call, "call.ended")[0]["summary"]["peakAnger"] > 0.9  # what was, was


async def test_only_the_key_that_is_set_means_no(autojump_clock: MockClock) -> None:
    async with open_stage(notice=NoticeSettings(opt_out_key="#")) as stage:
        call = stage.ring()
        for digit in "90*A":
            call.key_pressed(digit)
        assert call.listening
        call.key_pressed("#")
        assert not call.listening
    async with open_stage(notice=NoticeSettings(opt_out_key="")) as stage:
        call = stage.ring()
        call.key_pressed("9")
        call.key_pressed("")
        assert call.listening


async def test_a_no_after_the_end_is_not_said_any_more(autojump_clock: MockClock) -> None:
    async with open_stage() as stage:
        call = stage.ring()
        await stage.talk(call, 1)
        await stage.gone(call)
        call.withdraw_consent("key")
        assert stage.names(call)[-1] == "call.ended"


# --- What is left in memory ---


class Remembered(LocalEngine):
    """The local engine, its sessions kept for a look."""

    def __init__(self) -> None:
        super().__init__()
        self.sessions: list[LocalSession] = []

    @asynccontextmanager
    async def open(self, call_sid: str) -> AsyncIterator[LocalSession]:
        async with super().open(call_sid) as session:
            self.sessions.append(session)
            yield session


def arrays_in(thing: object, seen: set[int]) -> Iterator[NDArray[Any]]:
    """Every array of numbers that this object of ours holds, however deep."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        yield thing
    elif isinstance(thing, list | tuple | deque):
        for item in thing:
            yield from arrays_in(item, seen)
    elif type(thing).__module__.startswith("agent.") and not isinstance(thing, type):
        slots = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
        for name in [*getattr(thing, "__dict__", {}), *slots]:
            yield from arrays_in(getattr(thing, name, None), seen)


def sound_kept(*kinds: type) -> Iterator[tuple[str, NDArray[Any]]]:
    """Every array of numbers that objects of these classes hold: what has been heard, or was made of it."""
    for thing in gc.get_objects():
        if type(thing) in kinds:
            for name, value in vars(thing).items():
                if isinstance(value, np.ndarray):
                    yield f"{type(thing).__name__}.{name}", value


def of_the_caller() -> list[object]:
    """Every frame and every reading there is in this process."""
    return [thing for thing in gc.get_objects() if isinstance(thing, MediaFrame | Block | EmotionReading)]


async def test_after_a_no_the_arrays_are_zeros_and_no_frame_is_left(autojump_clock: MockClock) -> None:
    engine = Remembered()
    gc.collect()
    earlier = [*(array for _, array in sound_kept(BlockCutter, PitchTracker)), *of_the_caller()]  # other tests' calls
    known = {id(thing) for thing in earlier}
    async with open_stage(engine) as stage, trio.open_nursery() as nursery:  # type: ignore[arg-type]
        call = stage.ring()
        # A second line takes over in the middle of a block, so that half a block waits in every cutter.
        first, second = ScriptedLine(VOICE[: 31 * 800]), ScriptedLine(VOICE[31 * 800 : 200 * 800])
        nursery.start_soon(partial(first.play, call.mailbox, hold=True))
        await trio.sleep(3.1)
        nursery.start_soon(partial(second.play, call.mailbox, 2))
        await trio.sleep(0.05)
        (session,) = engine.sessions
        held = [(n, array) for n, array in sound_kept(BlockCutter, PitchTracker) if id(array) not in known]
        assert sorted(name for name, _ in held) == ["BlockCutter._block", "BlockCutter._block", "PitchTracker._end"]
        silent = [name for name, array in held if not array.any()]
        assert not silent, "nothing to overwrite there: look elsewhere, or later"
        assert {MediaFrame, EmotionReading} <= {type(thing) for thing in of_the_caller() if id(thing) not in known}
        call.withdraw_consent("key")
        assert [name for name, array in held if array.any()] == []
        await trio.sleep(0.001)
        assert [type(thing) for thing in of_the_caller() if id(thing) not in known] == []
        await trio.sleep(2)  # and nothing comes anew
        assert [name for name, array in held if array.any()] == []
        kept, fresh = list(arrays_in(session, set())), list(arrays_in(LocalSession(engine), set()))
        assert len(kept) == len(fresh) >= 2  # the end of a block, and one record for all that was made of the sound
        assert all(np.array_equal(a, b) for a, b in zip(kept, fresh, strict=True))  # as if it had never heard a sound
        await stage.gone(call)


# --- Each of those who ask ---


async def test_the_mailbox_keeps_no_frame_while_nobody_listens() -> None:
    relayed: list[MediaFrame] = []
    mailbox = Mailbox(listening=lambda: False)
    mailbox.sink = relayed.append
    line = ScriptedLine(b"")
    assert mailbox.connect(line, 1)
    for number in range(10):
        mailbox.hear(line, MediaFrame(number, 20 * number, b"\x55" * 160, 0.0))
    assert (len(relayed), mailbox._frames) == (10, [])
    with pytest.raises(trio.WouldBlock):
        mailbox.blocks.receive_nowait()


async def test_the_decoder_passes_over_a_block_that_was_on_its_way(autojump_clock: MockClock) -> None:
    frames_out, frames = open_channel(Block, 10, WhenFull.DROP_OLDEST)
    windows_out, _windows = open_channel(Window, 2, WhenFull.DROP_OLDEST)
    heard: list[PcmChunk | Gap] = []
    listening = [True]
    ear = Ear()
    ear.hear = heard.append  # type: ignore[method-assign, assignment]
    decoder = Decoder(ear, Nothing(), listening=lambda: listening[0])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: decoder.run(frames, windows_out, dropped=lambda: 0))
        for number in range(2):
            frames_out.offer(Block((MediaFrame(number, 20 * number, b"\x55" * 160, 0.0),)))
            await trio.sleep(0.1)
            listening[0] = False
        frames_out.close()
    assert len(heard) == 1


class Nothing:
    """A timeline that nobody keeps."""

    def record(self, event: str, **fields: object) -> None:
        pass


async def test_a_belief_that_comes_too_late_is_not_believed(autojump_clock: MockClock) -> None:
    async with open_stage() as stage:
        call = stage.ring()
        call.withdraw_consent("key")
        call.believe(Verdict(None, Mood(ANGRY, Trend.RISING, 5, 0.0, {"angry": 5.0}), 5))
        assert (call.mood.emotion.label, call.buffer_size, call.peak_anger) == ("neutral", 0, 0.0)
        assert call.present.mood() is None
        call.stream_ended()


# --- The switch by itself ---


async def test_one_that_cannot_forget_keeps_no_other_from_forgetting() -> None:
    consent, forgotten = Consent(), []

    def broken() -> None:
        raise RuntimeError("a bug")

    consent.on_stop(lambda: forgotten.append(1))
    consent.on_stop(broken)
    consent.on_stop(lambda: forgotten.append(2))
    with pytest.raises(RuntimeError):
        consent.stop()
    assert sorted(forgotten) == [1, 2]
    assert not consent.listening
    consent.on_stop(lambda: forgotten.append(3))  # whoever comes later holds nothing either
    assert forgotten[-1] == 3


async def test_what_is_under_way_is_broken_off_and_nothing_begins_after_that(autojump_clock: MockClock) -> None:
    consent, done = Consent(), []

    async def work() -> None:
        await trio.sleep(1)
        done.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(consent.unless_stopped, work)
        await trio.sleep(0.5)
        consent.stop()
    await consent.unless_stopped(work)
    assert done == []
