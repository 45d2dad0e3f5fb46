"""Calls from ringing to freed, with everything in order."""

import pytest
import trio
from trio.testing import MockClock

from agent.core.context import ContextUpdate
from agent.core.emotion import Emotion
from agent.testing import Pace, ScriptedEngine, ScriptedLine

from .stage import ANGRY, CALM, VOICE, open_stage


async def test_a_caller_who_turns_angry_is_told_of_at_once_and_again_when_that_lasts(autojump_clock: MockClock) -> None:
    async with open_stage() as stage:
        call = stage.ring()
        await stage.talk(call)
        await stage.gone(call)
        first, second = stage.events(call, "context.updated")
        assert (first["dominantEmotion"], first["bargeInDetected"], first["via"]) == ("angry", False, "control")
        assert 8000 <= first["t"] <= 10_000
        assert 900 <= second["t"] - first["t"] <= 1500
        assert stage.outcome(call) == "hangup"
        assert stage.names(call)[0] == "call.started"
        assert stage.names(call)[-1] == "call.ended"


async def test_an_assistant_that_talks_over_an_angry_caller_is_cut_off_once(autojump_clock: MockClock) -> None:
    async with open_stage() as stage, trio.open_nursery() as nursery:
        call = stage.ring()
        nursery.start_soon(stage.talk, call)
        await trio.sleep(7)
        call.assistant_speech(started=True)
        await stage.gone(call)
        (cancelled,) = stage.events(call, "tts.cancelled")
        assert cancelled["reason"] == "emotion_escalation"
        assert cancelled["heardMs"] == pytest.approx(cancelled["t"] - 7000, abs=20)
        barged = [update["bargeInDetected"] for update in stage.events(call, "context.updated")]
        assert barged == [True, False], "the apology is not cut off a second later"
        notes = [told.what for told in stage.assistant.told if isinstance(told.what, ContextUpdate)]
        sentences = [told.what for told in stage.assistant.told if isinstance(told.what, str)]
        assert (len(notes), len(sentences)) == (2, 1)


async def test_the_age_of_a_note_is_counted_from_the_last_sample_of_its_window(autojump_clock: MockClock) -> None:
    async with open_stage() as stage:
        call = stage.ring()
        await stage.talk(call)
        for update in stage.events(call, "context.updated"):
            assert update["latencyMs"] == 0  # the jumping clock stands still while we think
            deciding = [event for event in stage.events(call, "audio.chunk") if event["t"] == update["t"]]
            assert deciding[-1]["endMs"] == pytest.approx(update["t"], abs=1)


async def test_a_mood_before_the_assistant_is_attached_is_told_as_it_is_then(autojump_clock: MockClock) -> None:
    async with (
        open_stage(ScriptedEngine({0: ANGRY, 4000: CALM, 12_000: ANGRY})) as stage,
        trio.open_nursery() as nursery,
    ):
        call = stage.ring(attached=False)
        nursery.start_soon(stage.talk, call)
        await trio.sleep(8)
        assert stage.names(call).count("context.failed") == 1
        call.attach_assistant("vapi-1")
        await stage.gone(call)
        first = stage.events(call, "context.updated")[0]
        assert first["dominantEmotion"] == "angry"
        assert first["t"] > 12_000  # and not the anger of the beginning


async def test_a_line_that_goes_quiet_ends_its_call(autojump_clock: MockClock) -> None:
    async with open_stage() as stage, trio.open_nursery() as nursery:
        call = stage.ring()
        nursery.start_soon(lambda: stage.talk(call, 3, hold=True))
        await trio.sleep(3 + 10 + 1.1)
        assert stage.directory.find("CA1") is None
        assert stage.outcome(call) == "quiet"
        assert stage.lines["CA1"].hung_up == (1000, "quiet")


async def test_a_call_whose_stream_never_comes_gives_its_slot_back(autojump_clock: MockClock) -> None:
    async with open_stage(max_calls=1) as stage:
        call = stage.ring()
        assert stage.directory.register("CA2", caller="") is None
        await trio.sleep(60 + 1.1)
        assert stage.outcome(call) == "expired"
        assert stage.directory.register("CA2", caller="") is not None


async def test_a_call_that_nobody_hears_of_expires_and_a_talking_one_never_does(autojump_clock: MockClock) -> None:
    async with open_stage(session_ttl_s=5, sweep_every_s=1, line_quiet_s=100) as stage, trio.open_nursery() as nursery:
        silent, talking = stage.ring("CA1"), stage.ring("CA2")
        nursery.start_soon(lambda: stage.talk(silent, 1, hold=True))
        nursery.start_soon(stage.talk, talking, 20.0)
        await stage.gone(silent)
        assert stage.outcome(silent) == "expired"
        assert trio.current_time() < 10
        await stage.gone(talking)
        assert stage.outcome(talking) == "hangup"


async def test_a_call_whose_line_is_read_late_because_the_machine_stood_still_does_not_expire(
    autojump_clock: MockClock,
) -> None:
    async with open_stage(session_ttl_s=5, sweep_every_s=6, line_quiet_s=100) as stage:
        call = stage.ring()
        await trio.sleep(6.5)  # it has been looked at, and was silent
        call.touch()
        await trio.sleep(3)
        assert call.outcome is None
        await stage.gone(call)
        assert stage.outcome(call) == "expired", "and if nothing more comes it does"


async def test_hang_up_to_everything_freed_takes_no_longer_than_the_wrap_up(autojump_clock: MockClock) -> None:
    async with open_stage() as stage:
        call = stage.ring()
        await stage.talk(call, 5)
        hung_up_at = trio.current_time()
        await stage.gone(call)
        assert trio.current_time() - hung_up_at <= 0.02


async def test_a_newer_line_takes_over_and_the_older_is_hung_up(autojump_clock: MockClock) -> None:
    async with open_stage() as stage, trio.open_nursery() as nursery:
        call = stage.ring()
        older, newer = ScriptedLine(VOICE), ScriptedLine(VOICE[:16_000])
        nursery.start_soon(older.play, call.mailbox, 1)
        await trio.sleep(1)
        nursery.start_soon(newer.play, call.mailbox, 2)
        await trio.sleep(1)
        assert older.hung_up == (1008, "Superseded")
        assert not await ScriptedLine(VOICE).play(call.mailbox, 1)
        await trio.sleep(2)
        nursery.cancel_scope.cancel()


async def test_a_redirected_call_is_not_over_when_its_first_stream_is(autojump_clock: MockClock) -> None:
    async with open_stage() as stage, trio.open_nursery() as nursery:
        call = stage.ring()
        first, second = ScriptedLine(VOICE[:16_000]), ScriptedLine(VOICE[:16_000])
        serial = call.redeem(call.issue_token())
        assert serial is not None
        nursery.start_soon(first.play, call.mailbox, serial)
        await trio.sleep(1)
        newer = call.issue_token()
        call.line_ended(first)
        await trio.sleep(2)
        assert call.outcome is None
        serial = call.redeem(newer)
        assert serial is not None
        await second.play(call.mailbox, serial)
        call.stream_ended()
        await stage.gone(call)
        assert stage.outcome(call) == "hangup"
        assert stage.events(call, "audio.chunk")[-1]["endMs"] > 2000  # one media clock over both lines
        nursery.cancel_scope.cancel()


async def test_a_redirect_that_never_arrives_was_a_hang_up(autojump_clock: MockClock) -> None:
    async with open_stage() as stage:
        call = stage.ring()
        line = ScriptedLine(VOICE)
        call.mailbox.connect(line, call.redeem(call.issue_token()) or 0)
        call.issue_token()
        call.line_ended(line)
        await trio.sleep(10 + 1.1)
        assert stage.outcome(call) == "hangup"


async def test_lost_frames_are_gaps_in_the_timeline_and_change_no_clock(autojump_clock: MockClock) -> None:
    async with open_stage() as stage:
        call = stage.ring()
        await stage.talk(call, 10, pace=Pace(loss=10))
        await stage.gone(call)
        gaps = stage.events(call, "audio.gap")
        assert {gap["cause"] for gap in gaps} == {"lost"}
        assert sum(gap["ms"] for gap in gaps) == pytest.approx(1000, abs=400)
        assert stage.events(call, "audio.chunk")[-1]["endMs"] > 9000


async def test_draining_takes_no_new_call_and_closes_what_is_left_with_1012(autojump_clock: MockClock) -> None:
    async with open_stage(drain_s=5) as stage, trio.open_nursery() as nursery:
        short, long = stage.ring("CA1"), stage.ring("CA2")
        nursery.start_soon(stage.talk, short, 3.0)
        nursery.start_soon(lambda: stage.talk(long, 20, hold=True))
        await trio.sleep(1)
        began = trio.current_time()
        await stage.directory.drain()
        assert trio.current_time() - began == pytest.approx(5, abs=0.1)
        assert stage.directory.register("CA3", caller="") is None
        assert (stage.outcome(short), stage.outcome(long)) == ("hangup", "drained")
        assert stage.lines["CA2"].hung_up == (1012, "Service restart")


async def test_readings_of_labels_nobody_knows_make_a_note_of_one_word(autojump_clock: MockClock) -> None:
    async with open_stage(ScriptedEngine({0: Emotion("impatient", 0.9)})) as stage:
        call = stage.ring()
        await stage.talk(call, 5)
        (told,) = stage.assistant.told
        assert isinstance(told.what, ContextUpdate)
        assert "impatient" in told.what.note
        assert "Replaces earlier" in told.what.note
