"""When an assistant is cut off, and when it must not be."""

import numpy as np
import pytest
import trio
from trio.testing import MockClock

from agent.core import mulaw
from agent.engines.local import LocalEngine
from agent.testing import ScriptedEngine, ScriptedLine

from ..calls.stage import ANGRY, VOICE, Stage, open_stage

SILENCE = b"\xff"
RANDOM = np.random.default_rng(7)
SECONDS = np.arange(8 * 8000) / 8000
NOISES = {
    "hiss": RANDOM.normal(0, 6000, len(SECONDS)),
    "hiss that swells": RANDOM.normal(0, 9000, len(SECONDS)) * np.sin(SECONDS) ** 2,
    "hum": 12_000 * np.sign(np.sin(2 * np.pi * 50 * SECONDS)),
    "clatter": RANDOM.normal(0, 20_000, len(SECONDS)) * (RANDOM.random(len(SECONDS)) < 0.01),
}


async def heard_while_the_assistant_speaks(stage: Stage, mulaw_audio: bytes) -> None:
    call = stage.ring()
    call.assistant_speech(started=True)
    await ScriptedLine(mulaw_audio).play(call.mailbox)
    call.stream_ended()
    await stage.gone(call)
    assert not stage.events(call, "tts.cancelled")
    assert not stage.assistant.told


@pytest.mark.parametrize("noise", NOISES)
async def test_noise_never_interrupts(noise: str, autojump_clock: MockClock) -> None:
    """vellum-assistant#37061: noise triggered a clear and wiped the greeting."""
    samples = np.clip(NOISES[noise], -32768, 32767).astype(np.int16)
    async with open_stage(LocalEngine()) as stage:  # type: ignore[arg-type]
        await heard_while_the_assistant_speaks(stage, mulaw.encode(samples))


async def test_a_short_mhm_interrupts_nothing_however_sure_the_engine_is(autojump_clock: MockClock) -> None:
    """livekit/agents#4039: "mhm" stopped the agent for good."""
    mhm = VOICE[8000 : 8000 + 2400]
    async with open_stage(ScriptedEngine({0: ANGRY})) as stage:
        await heard_while_the_assistant_speaks(stage, (SILENCE * 16_000 + mhm + SILENCE * 16_000) * 2)


async def test_an_interruption_is_sent_with_the_reading_that_decides_it(autojump_clock: MockClock) -> None:
    """cloudflare/agents#2261, pipecat#366: the bot talked on for one to three seconds."""
    async with open_stage(ScriptedEngine({0: ANGRY})) as stage, trio.open_nursery() as nursery:
        call = stage.ring()
        call.assistant_speech(started=True)
        nursery.start_soon(stage.talk, call, 4.0)
        told = await stage.assistant.wait_for(lambda told: isinstance(told.what, str))
        deciding = stage.events(call, "audio.chunk")[-1]
        assert told.at - call.timeline.began_at == pytest.approx(deciding["t"] / 1000, abs=0.01)
        assert deciding["t"] == deciding["endMs"]
