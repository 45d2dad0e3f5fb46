"""Attach mode `bridge` with Vapi: we are the media path, over real sockets from Twilio's to Vapi's and back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
import trio
from bridging import HUMAN, Bridged, Office, noise, open_office

from agent.testing import Fault

if TYPE_CHECKING:
    from conftest import Start

SECOND = b"\xff" * 8_000


@pytest.fixture
async def office(start: Start) -> AsyncIterator[Office]:
    async with open_office(start) as office:
        yield office


async def angry(office: Office, call: Bridged) -> None:
    """The rules decide that the assistant is to be cut off."""
    for _ in range(3):
        await office.callmood.emotion(call.call_sid, "angry", 0.97)


# Both ways.


async def test_every_byte_goes_through_both_ways_as_it_came(office: Office) -> None:
    said, answered = noise(20), noise(20, seed=6)
    async with office.call() as call:
        async with trio.open_nursery() as both:
            both.start_soon(call.stream.play, said)
            both.start_soon(partial(call.transport.say, answered, speed=20))
        assert await call.transport.wait_heard(len(said)) == said
        await office.callmood.until(lambda: len(call.stream.audio) >= len(answered))
        assert bytes(call.stream.audio) == answered
        assert {length for _, length in call.transport.arrivals} == {160}, "frame by frame"
        assert not [received for received in call.stream.received if received.error]


@pytest.mark.parametrize("piece", [1, 100, 160, 481, 8_000, 60_000])
async def test_whatever_the_length_of_vapis_messages_twilio_gets_pieces_of_60_ms_at_most(
    office: Office, piece: int
) -> None:
    answered = noise(0.1 if piece == 1 else 10)
    async with office.call() as call:
        await call.transport.say(answered, speed=1000, piece=piece)
        await office.callmood.until(lambda: len(call.stream.audio) >= len(answered))
        assert bytes(call.stream.audio) == answered
        assert max(length for _, length in call.stream.arrivals) <= 480


async def test_what_the_caller_says_before_vapi_is_there_is_not_lost(office: Office) -> None:
    office.vapi.fault = Fault("delay", seconds=0.5, times=1, path="/websocket")
    caller, _ = office.caller()
    placed = await caller.place()
    assert placed.plan is not None
    said = noise(3)
    async with caller.stream(placed.plan) as stream:
        await stream.play(said[:8000])
        transport = office.vapi.created[-1].transport
        await transport.connected.wait()
        assert await transport.wait_heard(8000) == said[:8000]


async def test_the_webhook_is_answered_with_our_socket_and_the_fallback_behind_it(office: Office) -> None:
    caller, _ = office.caller()
    placed = await caller.place()
    assert [verb.tag for verb in ET.fromstring(placed.twiml)] == ["Connect", "Dial"]
    assert HUMAN in placed.twiml
    await office.callmood.until(lambda: len(office.vapi.created) == 1)


async def test_the_call_knows_its_assistant_and_is_told_over_the_control_url(office: Office) -> None:
    async with office.call() as call:
        started = await office.callmood.event(call.call_sid, "call.started")
        assert (started["attach"], started["vapiCallId"]) == ("bridge", call.vapi.facts.call_id)
        for _ in range(3):
            await office.callmood.emotion(call.call_sid, "frustrated", 0.9)
        await office.vapi.wait_for(lambda message: message.body["type"] == "add-message")
        assert office.vapi.private_key_leaks == 0


async def test_a_repeated_webhook_shares_the_call_at_vapi(office: Office) -> None:
    caller, _ = office.caller()
    placed = [await caller.place() for _ in range(3)]
    await office.callmood.until(lambda: len(office.vapi.created) == 1)
    assert len({answer.plan.parameters["token"] for answer in placed if answer.plan is not None}) == 3
    await trio.sleep(0.1)
    assert len(office.vapi.created) == 1


async def test_a_newer_line_takes_over_and_vapi_notices_nothing(office: Office) -> None:
    async with office.call() as call:
        await call.stream.play(noise(1))
        newer = await call.caller.place()
        assert newer.plan is not None
        async with call.caller.stream(newer.plan) as stream:
            closed = await call.stream.wait_closed()
            assert (closed.code, closed.reason) == (1008, "Superseded")
            await stream.play(noise(1, seed=7)[:1600])
            assert await call.transport.wait_heard(9600) == noise(1) + noise(1, seed=7)[:1600]
            await call.transport.say(noise(0.5), speed=20)
            await office.callmood.until(lambda: len(stream.audio) == 4000)
            assert call.transport.opened == 1


async def test_what_an_older_line_never_played_does_not_hold_up_the_turns_of_the_newer(office: Office) -> None:
    async with office.call(speed=1) as call, trio.open_nursery() as nursery:
        await call.transport.say(noise(60), speed=1000)
        await office.callmood.until(lambda: len(call.stream.audio) == 480_000)
        newer = await call.caller.place()
        assert newer.plan is not None
        async with call.caller.stream(newer.plan) as stream:
            nursery.start_soon(stream.play, SECOND * 9)
            await call.stream.wait_closed()
            await office.callmood.until(lambda: not call.call.assistant_speaking)
            nursery.cancel_scope.cancel()


async def test_a_key_that_the_caller_presses_reaches_the_call(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    async with office.call() as call:
        pressed: list[str] = []
        monkeypatch.setattr(type(call.call), "key_pressed", pressed.append)
        await call.stream.press("7")
        await office.callmood.until(lambda: pressed == ["7"])


# Turns, and what was heard of them.


async def test_a_turn_begins_with_its_sound_and_ends_when_it_has_been_heard(office: Office) -> None:
    async with office.call(speed=1) as call, trio.open_nursery() as nursery:
        nursery.start_soon(call.stream.play, SECOND * 3)
        await call.transport.say(noise(1), speed=100)
        await office.callmood.until(lambda: call.call.assistant_speaking)
        await call.vapi.send_speech_update("assistant", "started")
        await call.vapi.send_speech_update("assistant", "stopped")
        assert call.call.assistant_speaking, "Vapi is done, but the caller has yet to hear it"
        await office.callmood.until(lambda: not call.call.assistant_speaking)
        started, stopped = [(await office.events(call.call_sid, f"tts.{what}"))[0] for what in ("started", "stopped")]
        assert stopped["t"] - started["t"] >= 900
        nursery.cancel_scope.cancel()


async def test_an_interruption_clears_what_waits_and_says_what_was_really_heard(office: Office) -> None:
    async with office.call(speed=1) as call:
        await call.transport.say(noise(5), speed=100)
        await office.callmood.until(lambda: len(call.stream.audio) == 40_000)
        await trio.sleep(0.7)
        await angry(office, call)
        await call.stream.wait_for(lambda received: received.event == "clear")
        heard_ms = len(call.stream.audio) / 8
        cut = await office.callmood.event(call.call_sid, "tts.cancelled")
        assert cut["reason"] == "emotion_escalation"
        assert 600 < heard_ms < 4000
        assert cut["heardMs"] == pytest.approx(heard_ms, abs=150)
        assert office.callmood.told("say")


async def test_what_vapi_still_sends_of_the_interrupted_turn_is_dropped_and_the_next_turn_is_heard(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(office.vapi.call().transport), "hush", lambda transport: None)
    monkeypatch.setattr("agent.testing.vapi_call.FakeCall._say", lambda *arguments, **more: None)
    async with office.call(speed=1) as call, trio.open_nursery() as nursery:
        nursery.start_soon(call.transport.say, b"\x11" * 8000 * 3)
        await office.callmood.until(lambda: len(call.stream.audio) > 800)
        await angry(office, call)
        await call.stream.wait_for(lambda received: received.event == "clear")
        heard = len(call.stream.audio)
        await trio.sleep(0.5)
        assert len(call.stream.audio) == heard, "the rest of the turn was passed on"
        call.transport._speaking.cancel()
        await call.vapi.send_speech_update("assistant", "stopped")
        await call.transport.say(b"\x22" * 1600, speed=20)
        await office.callmood.until(lambda: call.stream.audio.endswith(b"\x22" * 1600))
        assert b"\x11" not in call.stream.audio[heard:]


async def test_the_words_nobody_heard_are_reported(start: Start) -> None:
    text = "one two three four five six seven eight nine ten"
    async with open_office(start, keep_text=True) as office, office.call(speed=1) as call:
        await call.vapi.send("assistant.speechStarted", text=text, turn=0, source="model")
        await call.vapi.send_speech_update("assistant", "started", 0)
        await call.transport.say(noise(4), speed=100)
        await call.vapi.send_speech_update("assistant", "stopped", 0)
        await trio.sleep(0.5)
        await angry(office, call)
        cut = await office.callmood.event(call.call_sid, "tts.cancelled")
        assert text.endswith(cut["unheardText"])
        assert 20 < len(cut["unheardText"]) < len(text)


@pytest.mark.parametrize("fault", [Fault("status", path="/control"), Fault("reset", path="/control")])
async def test_the_assistant_is_silenced_even_where_vapi_does_not_take_the_sentence(
    office: Office, fault: Fault
) -> None:
    async with office.call(speed=1) as call:
        await call.transport.say(noise(5), speed=100)
        await office.callmood.until(lambda: call.call.assistant_speaking)
        office.vapi.fault = fault
        await angry(office, call)
        await call.stream.wait_for(lambda received: received.event == "clear")
        await office.callmood.event(call.call_sid, "tts.cancelled")
        reasons = [event["reason"] for event in await office.events(call.call_sid, "context.failed")]
        assert [reason for reason in reasons if reason.startswith("interruption: ")]


async def test_only_a_decision_clears(office: Office) -> None:
    async with office.call(speed=1) as call:
        await call.transport.say(noise(2), speed=100)
        await call.stream.play(noise(0.5))
        await call.vapi.send("user-interrupted", turnId="1")
        for _ in range(3):
            await office.callmood.emotion(call.call_sid, "sad", 0.97)
        assert not [received for received in call.stream.received if received.event == "clear"]


async def test_turns_may_be_told_in_the_socket_itself(office: Office) -> None:
    async with office.call(speed=1) as call, trio.open_nursery() as nursery:
        nursery.start_soon(call.stream.play, SECOND * 5)
        update = {"type": "speech-update", "role": "assistant", "turn": 0}
        await call.transport.send(json.dumps({**update, "status": "started"}))
        await call.transport.say(noise(0.2), speed=100)
        await trio.sleep(1.0)
        assert call.call.assistant_speaking, "it said that it goes on"
        await call.transport.send(json.dumps({**update, "status": "stopped"}))
        await office.callmood.until(lambda: not call.call.assistant_speaking)
        nursery.cancel_scope.cancel()


# Ends.


async def test_when_the_caller_hangs_up_vapis_socket_is_closed(office: Office) -> None:
    async with office.call() as call:
        await call.stream.hang_up()
        assert (await office.callmood.ended(call.call_sid))["outcome"] == "hangup"
        await call.transport.ended.wait()
        assert call.transport.closed is not None
        assert (call.transport.closed.code, call.transport.closed.by) == (1000, "server")
        assert not office.twilio.requests


async def test_an_ordinary_end_hangs_up_over_rest_before_the_socket_is_closed(office: Office) -> None:
    async with office.call(speed=1) as call:
        await call.transport.say(noise(0.6), speed=100)
        await call.transport.close(1000)
        await office.callmood.until(lambda: call.twilio.over)
        assert call.stream._playback.unplayed_s(trio.current_time()) < 0.1, "the last words were cut off"
        ended = await office.callmood.ended(call.call_sid)
        assert ended["outcome"] == "hangup"
        assert office.twilio.requests[-1][1] == {"Status": "completed"}
        assert (await call.stream.wait_closed()).code == 1000
        assert not await office.events(call.call_sid, "context.failed")


async def test_vapis_word_that_the_call_is_over_is_an_ordinary_end_too(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.attach.bridged.LAST_WORDS_S", 0.1)
    async with office.call() as call:
        await call.vapi.send_status_update("ended", endedReason="assistant-ended-call")
        await office.callmood.until(lambda: call.twilio.over)
        await call.stream.wait_closed()
        assert (await office.callmood.ended(call.call_sid))["outcome"] == "hangup"


async def test_a_transfer_over_twilio_is_an_end_and_no_error(office: Office) -> None:
    async with office.call() as call:
        call.call.claim_transfer("a rule")
        call.call.transfer_begins(HUMAN)
        await call.transport.close(1000)
        await trio.sleep(0.2)
        assert not call.twilio.over
        assert call.stream.closed is None, "the fallback verb would have run instead of the transfer"
        await call.stream.hang_up()  # what Twilio does with a stream whose call was updated
        await office.callmood.ended(call.call_sid)
        await call.transport.ended.wait()
        assert not await office.events(call.call_sid, "context.failed")
        assert not [form for _, form in office.twilio.requests if form.get("Status") == "completed"]
