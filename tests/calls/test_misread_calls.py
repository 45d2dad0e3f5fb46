"""Whole calls whose audio is not what the carrier says it is."""

import io
from pathlib import Path

import soundfile
from trio.testing import MockClock

from agent.audiofile import load_linear
from agent.core.emotion import Outcome
from agent.testing import ScriptedEngine, ScriptedLine

from .stage import ANGRY, VOICE, open_stage

EMMA = Path(__file__).parents[2] / "agent/demo/voices/emma_calm_then_angry.wav"


def alaw() -> bytes:
    """The misread encoding that still sounds most like a voice; by a codec that is not ours."""
    file = io.BytesIO()
    soundfile.write(file, load_linear(EMMA), 8000, format="RAW", subtype="ALAW")
    return file.getvalue()


async def test_a_call_of_misread_audio_alarms_nobody_and_says_once_why(autojump_clock: MockClock) -> None:
    """The engine is scripted to be angry all along: only what is known of the line keeps it from being believed."""
    heard = {}
    for name, payload in (("misread", alaw()), ("mu-law", VOICE)):
        async with open_stage(ScriptedEngine({0: ANGRY})) as stage:
            call = stage.ring()
            await ScriptedLine(payload[: 8000 * 20]).play(call.mailbox)
            call.end(Outcome.HANGUP)
            await stage.gone(call)
            heard[name] = stage.names(call)
            if name == "misread":
                (degraded,) = stage.events(call, "analyzer.degraded")
                later = [event for event in stage.events(call, "audio.chunk") if event["t"] > degraded["t"] + 500]
    assert degraded["reason"].startswith("misread audio: ")
    assert degraded["t"] < 3000
    assert {(event["gated"], event["emotion"]["label"]) for event in later} == {("poor_line", "neutral")}
    assert "context.updated" not in heard["misread"]
    assert "context.updated" in heard["mu-law"]
    assert "analyzer.degraded" not in heard["mu-law"]
