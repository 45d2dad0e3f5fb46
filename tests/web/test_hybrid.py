"""Engine `hybrid` as a service, over real sockets: who said what, what waits for Hume, and what is never sent."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

import agent.demo
from agent.audiofile import load_telephone
from agent.core.emotion import Emotion
from agent.settings import Secret
from agent.testing import CallerStream, LiveCall, Pace, ScriptedEngine
from agent.testing.fake_hume import FakeHume

if TYPE_CHECKING:
    from conftest import Callmood, OwnPort, Start

VOICE = load_telephone(Path(agent.demo.__path__[0]) / "voices" / "emma_calm_then_angry.wav")
HUMAN = "+15550100199"
RULE = """
[[rule]]
name = "angry-transfer"
emotions = ["angry"]
at_least = 0.85
for_s = 0.4
do = ["transfer"]
"""
CALM, DOUBT, SURE = Emotion("neutral", 0.9), Emotion("angry", 0.6), Emotion("angry", 0.95)
LOUD = (VOICE[-64_000:] * 2)[:112_000]


def hears(probability: float) -> Any:
    return lambda start_ms, end_ms: [("anger", probability), ("wistfulness", 0.4)]


async def hybrid(start: Start, hume: FakeHume, patch: pytest.MonkeyPatch, script: Any, **more: Any) -> Callmood:
    own = ScriptedEngine(script)
    patch.setattr("agent.wiring.engine", lambda settings: own)
    key = Secret(hume.key)
    return await start(engine="hybrid", hume_base_url=hume.url, hume_api_key=key, **more)


@asynccontextmanager
async def speaking(callmood: Callmood, caller: Any = None) -> AsyncIterator[tuple[str, CallerStream]]:
    """A caller who speaks in real time until the end of the block."""
    caller = caller or callmood.caller()
    placed = await caller.place()
    async with caller.stream(placed.plan, Pace()) as stream, trio.open_nursery() as nursery:
        nursery.start_soon(stream.play, LOUD)
        yield caller.call_sid, stream
        nursery.cancel_scope.cancel()


def said_by(entry: dict[str, Any], source: str) -> list[dict[str, Any]]:
    return [event for event in entry["timeline"] if event["event"] == "audio.chunk" and event["source"] == source]


async def metric(callmood: Callmood, name: str) -> float:
    page = (await callmood.get("/metrics")).text
    found = re.search(rf'^{name}{{vendor="hume"}} (\S+)$', page, re.MULTILINE)
    assert found, page
    return float(found[1])


async def test_the_timeline_says_who_said_what_and_the_metrics_what_it_cost(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FakeHume.serve(hears(0.9)) as hume:
        callmood = await hybrid(start, hume, monkeypatch, {0: CALM, 400: DOUBT})
        async with speaking(callmood) as (call_sid, _):
            call = callmood.ready.directory.find(call_sid)
            await callmood.until(lambda: hume.open == 1)
            assert await metric(callmood, "callmood_vendor_sessions") == 1
            async with callmood.watch(f"?call={call_sid}") as events:
                async for _, event in events:
                    if event["event"] == "audio.chunk" and "own" in event:
                        break
            assert call is not None
        entry = await callmood.ended(call_sid)
        assert entry["outcome"] == "hangup"
        local, of_hume = said_by(entry, "local"), said_by(entry, "hume")
        assert of_hume[0]["emotion"] == {"label": "angry", "score": 0.9}
        before = [reading for reading in local if reading["t"] < of_hume[0]["t"]]
        after = [reading for reading in local if reading["t"] > of_hume[0]["t"]]
        assert before
        assert not any("own" in reading for reading in before)
        assert after[0]["own"] == {"label": "angry", "score": 0.6}
        assert after[0]["emotion"]["score"] > 0.85
        assert await metric(callmood, "callmood_vendor_audio_seconds_total") == pytest.approx(hume.audio_s, abs=0.3)
        assert await metric(callmood, "callmood_vendor_unseen_total") == len(of_hume)
        await callmood.until(lambda: hume.open == 0)
        assert await metric(callmood, "callmood_vendor_sessions") == 0
        assert not hume.refused


@pytest.mark.parametrize("hume_hears", [0.95, 0.02], ids=["angry", "calm"])
async def test_a_transfer_waits_for_hume_and_a_note_does_not(
    start: Start, account: OwnPort, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hume_hears: float
) -> None:
    async with FakeHume.serve(hears(hume_hears)) as hume:
        script = {0: CALM, 600: DOUBT, 1000: SURE}
        (rules := tmp_path / "rules.toml").write_text(RULE)
        more = account.settings(attach="bridge", transfer_to=HUMAN, confirm_within_s=8.0, rules_file=rules)
        callmood = await hybrid(start, hume, monkeypatch, script, hybrid_high=1.0, **more)
        caller = callmood.caller()
        live: LiveCall = account.twilio.take(caller)
        async with speaking(callmood, caller) as (call_sid, _):
            await callmood.assistant(call_sid).send_status_update("in-progress")
            call = callmood.ready.directory.find(call_sid)
            assert call is not None
            await callmood.until(lambda: call.timeline.counts["context.updated"] > 0)
            assert not hume.sessions or not hume.sessions[0]._measurements, "the note did not wait"
            if hume_hears > 0.5:
                await callmood.event(call_sid, "escalation.done")
                await live.told()
            else:
                await callmood.until(lambda: hume.sessions[0]._measurements > 0)
                await trio.sleep(0.5)
        entry = await callmood.ended(call_sid)
    names = [event["event"] for event in entry["timeline"]]
    if hume_hears > 0.5:
        assert names.index("escalation.done") > entry["timeline"].index(said_by(entry, "hume")[0])
        assert live.dials == HUMAN
    else:
        assert "escalation.done" not in names


async def test_when_consent_is_withdrawn_the_session_closes_and_not_a_byte_more_is_sent(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FakeHume.serve(hears(0.9)) as hume:
        callmood = await hybrid(start, hume, monkeypatch, {0: CALM, 400: DOUBT})
        async with speaking(callmood) as (call_sid, _):
            await callmood.until(lambda: hume.audio_bytes > 32_000)
            answer = await callmood.post(f"/calls/{call_sid}/actions", '{"action":"stop_analysis"}')
            assert answer.status_code == 202
            sent = hume.audio_bytes
            with trio.fail_after(1):
                await callmood.until(lambda: hume.open == 0)
            sent_by_then = hume.audio_bytes
            await trio.sleep(2)
            assert sent_by_then - sent <= 3200, "at most the frame that was on its way"
            assert hume.audio_bytes == sent_by_then
            assert len(hume.sessions) == 1
        entry = await callmood.ended(call_sid)
    assert entry["outcome"] == "hangup"
    assert not said_by(entry, "hume")
