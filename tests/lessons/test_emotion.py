"""What is read into a voice."""

import json
from itertools import takewhile
from pathlib import Path

import numpy as np
import pytest
import trio
from trio.testing import MockClock

from agent.audiofile import load_telephone
from agent.core import mulaw
from agent.core.emotion import ANGER, LABELS, Emotion
from agent.engines.local import LocalEngine
from agent.testing import ScriptedEngine, ScriptedLine, twilio_messages

from ..calls.stage import ANGRY, CALM, VOICE, Stage, open_stage
from ..web.conftest import Callmood

VOICES = Path(__file__).parents[2] / "agent/demo/voices"
CALM_VOICE = load_telephone(VOICES / "emma_angry_words_calm_voice.wav")
SHOUTING_FROM_MS = 13_000

Readings = list[dict[str, object]]


async def heard(stage: Stage, audio: bytes) -> list[dict]:  # type: ignore[type-arg]
    """The readings of a whole call."""
    call = stage.ring()
    assert await ScriptedLine(audio).play(call.mailbox)
    call.stream_ended()
    await stage.gone(call)
    return stage.events(call, "audio.chunk")


def louder(audio: bytes, decibels: float) -> bytes:
    samples = mulaw.decode(audio) * 10 ** (decibels / 20)
    return mulaw.encode(np.clip(samples, -32768, 32767).astype(np.int16))


async def test_whoever_talks_loudly_from_the_start_is_not_angry(autojump_clock: MockClock) -> None:
    """Audio-Sentiment-Analysis#1: a loud talker was read as angry."""
    async with open_stage(LocalEngine()) as stage:  # type: ignore[arg-type]
        await heard(stage, louder(CALM_VOICE, 12))
        assert not stage.assistant.told


async def test_angry_words_in_a_calm_voice_are_not_anger(autojump_clock: MockClock) -> None:
    """Audio-Sentiment-Analysis#1, the other way round: it is the voice that is read."""
    async with open_stage(LocalEngine()) as stage:  # type: ignore[arg-type]
        await heard(stage, CALM_VOICE)
        assert not stage.assistant.told


@pytest.fixture(scope="module")
def turning() -> Readings:
    """Readings of a voice that is calm, and then shouts."""

    async def listen() -> Readings:
        async with open_stage(LocalEngine()) as stage:  # type: ignore[arg-type]
            return await heard(stage, VOICE)

    return trio.run(listen, clock=MockClock(autojump_threshold=0))


def test_shouting_is_never_read_as_happy(turning: Readings) -> None:
    """deepaffects-python#48: angry was read as happy, for both are high arousal."""
    shouting = [said for said in turning if said["startMs"] >= SHOUTING_FROM_MS]
    assert shouting
    assert "happy" not in {said["emotion"]["label"] for said in shouting if "gated" not in said}


def test_neither_everything_is_angry_nor_everything_neutral_nor_most_of_it_unknown(turning: Readings) -> None:
    """DeepSentiment#21, #9: everything angry, or everything neutral; SenseVoice#31: mostly unknown."""
    known = [said["emotion"]["label"] for said in turning if "gated" not in said]
    assert len(known) > len(turning) / 2
    assert "neutral" in known
    assert set(known) & ANGER


def test_chunks_too_small_to_mean_anything_say_calibrating(turning: Readings) -> None:
    """streaming-sensevoice#6: chunks too small to mean anything were guessed at."""
    first = list(takewhile(lambda said: said.get("gated") == "calibrating", turning))
    assert first
    assert first[-1]["endMs"] >= 1000
    assert {(said["emotion"]["label"], said["emotion"]["score"]) for said in first} == {("neutral", 0.0)}


@pytest.mark.parametrize(("score", "told"), [(0.0, 0), (0.3, 0), (0.69, 0), (0.7, 1)])
async def test_a_guess_below_the_default_threshold_does_not_reach_the_model(
    score: float, told: int, autojump_clock: MockClock
) -> None:
    """A published plug-in's default threshold is 0.0: every guess reaches the model."""
    async with open_stage(ScriptedEngine({0: Emotion("angry", score)})) as stage:
        said = await heard(stage, VOICE[: 8000 * 4])
        assert len(stage.assistant.told) == told
        assert {event.get("gated") for event in said[3:]} == {None if told else "low_confidence"}


async def test_the_evidence_for_a_note_stands_in_the_timeline_before_it(autojump_clock: MockClock) -> None:
    """Genesys forum: a person could not tell why a phrase had scored as it did."""
    async with open_stage(ScriptedEngine({0: CALM, 3000: ANGRY})) as stage:
        call = stage.ring()
        await stage.talk(call, 6)
        await stage.gone(call)
        events = stage.events(call)
        names = [event["event"] for event in events]
        evidence = events[1 : names.index("context.updated")]
        angry = [said for said in evidence if said["emotion"]["label"] == "angry"]
        assert len(angry) >= 3
        for said in angry:
            assert set(said["scores"]) == set(LABELS)
            assert said["startMs"] < said["endMs"] <= said["t"]
            assert said["quality"] is not None


async def test_what_the_agent_says_is_never_analysed(callmood: Callmood) -> None:
    """Human agents were disciplined on sentiment scores, which AI Act Art. 5(1)(f) prohibits."""
    async with callmood.on_the_line() as line:
        for number in range(100):
            frame = twilio_messages.media(line.stream.stream_sid, number + 2, number + 1, number * 20, VOICE[:160])
            said = json.loads(frame)
            said["media"]["track"] = "outbound"
            assert await line.stream.send_raw(json.dumps(said))
    ended = await callmood.ended(line.call_sid)
    assert [event["event"] for event in ended["timeline"]] == ["call.started", "call.ended"]


async def test_where_callers_must_be_told_first_nothing_is_inferred_before(autojump_clock: MockClock) -> None:
    """AI Act Art. 50(3): a caller must be told before the first inference."""
    async with open_stage(ScriptedEngine({0: ANGRY}), require_notice=True) as stage:
        call = stage.ring()
        await stage.talk(call, 6)
        await stage.gone(call)
        assert stage.names(call) == ["call.started", "call.ended"]
        assert not stage.assistant.told
