"""A live call from inside, seen from outside: what it says of its actors, channels and ages, and what it never says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio

from agent.audiofile import bundled_voice
from agent.core.emotion import Emotion
from agent.rounds import ROUND_S
from agent.testing import FakeVapi, Fault, Pace, ScriptedEngine

if TYPE_CHECKING:
    from .conftest import Callmood, Start

VOICE = bundled_voice()
ACTORS = {"heartbeat", "receiver", "decoder", "analyzer", "aggregator", "publisher", "escalator"}


async def inside(callmood: Callmood, call_sid: str) -> dict[str, Any]:
    answer = await callmood.get(f"/debug/calls/{call_sid}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_a_call_that_has_done_nothing_yet_says_so(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        seen = await inside(callmood, line.call_sid)
    assert set(seen["actors"]) == ACTORS
    assert {actor["state"] for actor in seen["actors"].values()} == {"running"}
    assert seen["channels"]["windows"] == {"waiting": 0, "cap": 2, "dropped": 0, "whenFull": "drop_oldest"}
    caps = {name: (channel["cap"], channel["whenFull"]) for name, channel in seen["channels"].items()}
    assert caps == {
        "frames": (5, "drop_oldest"),
        "windows": (2, "drop_oldest"),
        "readings": (8, "wait"),
        "updates": (1, "replace"),
        "transfers": (1, "replace"),
    }
    assert seen["agesMs"] == dict.fromkeys(("decision", "frame", "gap", "interruption", "reading", "tell"))
    assert seen["line"]["connected"] is True
    assert seen["line"]["streamSid"] == line.stream.stream_sid
    assert seen["relay"] is None
    assert seen["outcome"] is None
    assert seen["buffers"] == {"readings": {"held": 0, "cap": 50}, "frames": {"held": 0, "cap": 50}}


async def test_what_happened_has_an_age(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        assistant = callmood.assistant(line.call_sid)
        await assistant.send_status_update("in-progress")
        began = trio.current_time()
        await line.stream.play(b"\xff" * 1600)  # silence: of speech there might be a reading after the decision
        await trio.sleep(2 * ROUND_S)  # by then it has been read
        for _ in range(3):
            await callmood.emotion(line.call_sid, "sad", 0.9)
        await callmood.event(line.call_sid, "context.updated")
        seen = await inside(callmood, line.call_sid)
        most_ms = 1000 * (trio.current_time() - began) + 1
    ages = seen["agesMs"]
    assert ages["interruption"] is None
    assert all(0 <= ages[name] <= most_ms for name in ("decision", "frame", "reading", "tell"))
    assert ages["tell"] <= ages["decision"] <= ages["reading"] + 1
    assert seen["assistant"] == {"attached": True, "speaking": False, "throughGateway": False}
    assert seen["buffers"]["readings"]["held"] == 3


async def test_an_engine_that_is_gone_is_seen_as_restarting_and_degraded(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = ScriptedEngine({0: Emotion("neutral", 0.9)})
    engine.fault = Fault("unavailable")
    monkeypatch.setattr("agent.wiring.engine", lambda settings: engine)
    callmood = await start()
    caller = callmood.caller()
    placed = await caller.place()
    assert placed.plan is not None
    async with caller.stream(placed.plan, Pace()) as stream, trio.open_nursery() as nursery:
        nursery.start_soon(stream.play, VOICE)
        while not (analyzer := (await inside(callmood, caller.call_sid))["actors"]["analyzer"])["restarts"]:  # noqa: ASYNC110
            await trio.sleep(0.05)
        nursery.cancel_scope.cancel()
    assert analyzer["degraded"] is True
    assert analyzer["state"] in ("restarting", "running")
    assert analyzer["failures"]["unavailable"] >= analyzer["restarts"] >= 1


async def test_an_assistant_that_fails_is_seen_while_its_note_is_tried_again(callmood: Callmood) -> None:
    vapi: FakeVapi = callmood.vapi
    async with callmood.on_the_line() as line:
        await callmood.assistant(line.call_sid).send_status_update("in-progress")
        vapi.fault = Fault("status", status=500)
        for _ in range(3):
            await callmood.emotion(line.call_sid, "sad", 0.9)
        await callmood.event(line.call_sid, "context.failed")
        assert (await inside(callmood, line.call_sid))["actors"]["publisher"]["degraded"] is True
        vapi.fault = None
        await callmood.event(line.call_sid, "context.updated")
        assert (await inside(callmood, line.call_sid))["actors"]["publisher"]["degraded"] is False


async def test_it_says_nothing_of_what_was_said_felt_or_dialled(callmood: Callmood) -> None:
    async with callmood.on_the_line(callmood.caller(from_="+15550107777")) as line:
        assistant = callmood.assistant(line.call_sid)
        await assistant.send_status_update("in-progress")
        await assistant.start_turn("words that somebody spoke")
        for _ in range(3):
            await callmood.emotion(line.call_sid, "sad", 0.9)
        await callmood.event(line.call_sid, "context.updated")
        text = (await callmood.get(f"/debug/calls/{line.call_sid}")).text
    for secret in ("words that", "0107777", "sad", "neutral", "score", "mood"):
        assert secret not in text


async def test_an_unknown_call_and_one_that_is_over_are_404(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        pass
    await callmood.ended(line.call_sid)
    for sid in (line.call_sid, "CA1"):
        answer = await callmood.get(f"/debug/calls/{sid}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
async def test_without_the_token_it_is_401_whether_the_call_is_known_or_not(
    callmood: Callmood, headers: dict[str, str]
) -> None:
    async with callmood.on_the_line() as line:
        for sid in (line.call_sid, "CA1"):
            assert (await callmood.get(f"/debug/calls/{sid}", headers)).status_code == 401
