"""What is done with a voice where nobody's feelings are judged, and where nothing is done with it at all."""

import re
from itertools import pairwise

import msgspec
import pytest
import trio
from trio.testing import MockClock

from agent.calls.shown import entry_of
from agent.core.emotion import LABELS, Emotion, EmotionReading
from agent.testing import ScriptedEngine

from .stage import ANGRY, open_stage

EMOTION_WORDS = re.compile("|".join([*LABELS, "anger", "happi", "emotion", "mood"]), re.IGNORECASE)


async def test_physical_only_measures_voices_and_judges_nobody(autojump_clock: MockClock) -> None:
    async with open_stage(ScriptedEngine({0: ANGRY}), profile="physical-only") as stage:
        call = stage.ring()
        await stage.talk(call, 12)
        await stage.gone(call)
        chunks = stage.events(call, "audio.chunk")
        assert len(chunks) >= 8
        for chunk in chunks:
            assert set(chunk["physical"]) == {"loudnessDb", "rate", "overlapMs"}
            assert -60 < chunk["physical"]["loudnessDb"] <= 0
            assert 0 <= chunk["physical"]["rate"] < 12
            assert chunk["physical"]["overlapMs"] == 0
            assert not {"emotion", "scores"} & set(chunk)
            assert 0 < chunk["endMs"] - chunk["startMs"] <= 3000
        assert all(later["t"] - earlier["t"] >= 990 for earlier, later in pairwise(chunks))
        assert not stage.engine.sessions
        assert not stage.assistant.told


async def test_physical_only_names_no_emotion_anywhere(autojump_clock: MockClock) -> None:
    async with open_stage(ScriptedEngine({0: ANGRY}), profile="physical-only") as stage, trio.open_nursery() as nursery:
        call = stage.ring()
        nursery.start_soon(stage.talk, call, 8.0)
        await trio.sleep(5)
        assert entry_of(call)["mood"] is None
        call.timeline.record("context.updated", dominantEmotion="neutral", score=0.0, trend="steady", via="control")
        live = msgspec.json.encode({name: value for name, value in entry_of(call).items() if name != "mood"})
        await stage.gone(call)
        for line in [live, *(msgspec.json.encode(event) for event in stage.events(call))]:
            assert set(EMOTION_WORDS.findall(line.decode())) <= {"mood"}, line
        assert stage.events(call, "call.ended")[0]["summary"]["mood"] is None


async def test_how_long_both_spoke_at_once_is_measured(autojump_clock: MockClock) -> None:
    async with open_stage(profile="physical-only") as stage, trio.open_nursery() as nursery:
        call = stage.ring()
        nursery.start_soon(stage.talk, call, 12.0)
        await trio.sleep(3)
        call.assistant_speech(started=True)
        await trio.sleep(2)
        call.assistant_speech(started=False)
        await stage.gone(call)
        overlaps = {chunk["t"]: chunk["physical"]["overlapMs"] for chunk in stage.events(call, "audio.chunk")}
        assert max(ms for t, ms in overlaps.items() if t < 3000) == 0
        during = [ms for t, ms in overlaps.items() if 4900 <= t <= 6000]
        assert during
        assert 1000 < max(during) <= 2000  # two seconds, of which the caller paused some
        assert all(ms == 0 for t, ms in overlaps.items() if t > 8100)


async def test_a_no_ends_the_measuring_too(autojump_clock: MockClock) -> None:
    async with open_stage(profile="physical-only") as stage, trio.open_nursery() as nursery:
        call = stage.ring()
        nursery.start_soon(stage.talk, call, 10.0)
        await trio.sleep(5)
        call.withdraw_consent("key")
        measured = len(stage.events(call, "audio.chunk"))
        assert measured
        await stage.gone(call)
        assert len(stage.events(call, "audio.chunk")) == measured


async def test_off_hears_nothing_and_the_call_is_only_known_to_have_been(autojump_clock: MockClock) -> None:
    async with open_stage(ScriptedEngine({0: ANGRY}), profile="off") as stage, trio.open_nursery() as nursery:
        call = stage.ring()
        relayed: list[int] = []
        call.mailbox.sink = lambda frame: relayed.append(frame.sequence)
        nursery.start_soon(stage.talk, call, 15.0)
        await trio.sleep(5)
        call.assistant_speech(started=True)
        call.notice_played("say")
        call.withdraw_consent("key")
        verdict = await call.hear(EmotionReading(Emotion("angry", 0.9), "webhook", 0, 0, trio.current_time()))
        assert verdict.refused is not None
        await trio.sleep(11)
        call.mailbox.sink = None
        await stage.gone(call)
        assert stage.names(call) == ["call.started", "call.ended"]
        assert stage.outcome(call) == "hangup"
        assert not stage.engine.sessions
        assert len(relayed) == 750


async def test_off_without_a_stream_waits_for_word_of_the_end(autojump_clock: MockClock) -> None:
    async with open_stage(profile="off") as stage:
        call = stage.ring()
        call.awaits_audio = False
        await trio.sleep(200)
        assert call.outcome is None
        call.stream_ended()
        await stage.gone(call)
        assert stage.outcome(call) == "hangup"


@pytest.mark.parametrize("profile", ["acoustic", "off", "physical-only"])
async def test_a_call_says_its_profile_where_that_is_not_the_usual_one(autojump_clock: MockClock, profile: str) -> None:
    async with open_stage(profile=profile) as stage:
        call = stage.ring()
        call.announce()
        (started,) = stage.events(call, "call.started")
        assert started.get("profile") == (None if profile == "acoustic" else profile)
        call.stream_ended()
