"""Attach mode `fork`: the number is Vapi's, and Twilio sends us the caller's voice beside the call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
import trio

from agent.assistants.vapi_messages import ServerMessage
from agent.attach.at_vapi import VapiBegun
from agent.telephony.twilio_rest import TwilioRest
from agent.testing import FakeCall, FakeTwilio, Fault, LiveCall, Pace, TwilioCaller

if TYPE_CHECKING:
    from conftest import Callmood, OwnPort, Start

AUTH_TOKEN = "twilio-auth-token-of-the-tests"
HUMAN = "+15550100199"


@dataclass
class Forking:
    """A service in this mode, and a Twilio account whose calls it may fork."""

    callmood: Callmood
    twilio: FakeTwilio

    def call(self) -> tuple[TwilioCaller, LiveCall, FakeCall]:
        """A caller who has been connected to Vapi, as Twilio and as Vapi know them."""
        caller = self.callmood.caller()
        return caller, self.twilio.take(caller), self.callmood.assistant(caller.call_sid)

    def live(self, caller: TwilioCaller) -> bool:
        return self.callmood.ready.directory.find(caller.call_sid) is not None


async def fork(start: Start, account: OwnPort, **changes: Any) -> Forking:
    return Forking(await start(**account.settings(attach="fork", **changes)), account.twilio)


@pytest.fixture
async def forking(start: Start, account: OwnPort, monkeypatch: pytest.MonkeyPatch) -> Forking:
    monkeypatch.setattr("agent.attach.fork.FIRST_BACKOFF_S", 0.02)
    return await fork(start, account)


def little_patience(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Only for a Twilio that does not answer. One that does may take its time: where each attempt counts, a moment in
    which this process stands still must not use one up."""
    monkeypatch.setattr("agent.attach.fork.PATIENCE_S", seconds)


async def test_a_call_of_vapis_is_listened_to_from_its_first_message_to_its_last(forking: Forking) -> None:
    caller, live, assistant = forking.call()
    await assistant.send_status_update("in-progress")
    plan = await live.next_stream()
    assert plan.verb == "Start"
    assert plan.parameters["callSid"] == caller.call_sid
    async with caller.stream(plan, Pace(speed=20)) as stream:
        call = forking.callmood.ready.directory.find(caller.call_sid)
        assert call is not None
        await forking.callmood.until(lambda: call.stream_sid == stream.stream_sid)
        assert await stream.play(bytes([0xFF]) * 16_000)
        entry = await forking.callmood.entry(caller.call_sid)
        assert (entry["attach"], entry["vapiCallId"], entry["caller"]) == ("fork", assistant.facts.call_id, "***01")
        await assistant.end()
        await stream.wait_closed()
    ended = await forking.callmood.ended(caller.call_sid)
    assert ended["outcome"] == "hangup"
    assert [event["event"] for event in ended["timeline"]] == ["call.started", "call.ended"]


async def test_the_assistant_of_a_forked_call_is_told(forking: Forking) -> None:
    caller, _, assistant = forking.call()
    await assistant.send_status_update("in-progress")
    for _ in range(3):
        await forking.callmood.emotion(caller.call_sid, "frustrated", 0.8)
    await forking.callmood.vapi.wait_for(lambda message: message.body["type"] == "add-message")


async def test_messages_that_come_again_make_one_call_and_one_stream(forking: Forking) -> None:
    _, live, assistant = forking.call()

    async def say() -> None:
        await assistant.send_status_update("in-progress")
        await assistant.start_turn("hello")

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(say)
    await live.next_stream()
    await trio.sleep(0.1)
    assert len(live.streams) == len(forking.callmood.ready.directory) == 1


async def test_a_call_whose_first_message_was_lost_begins_with_the_next(forking: Forking) -> None:
    _, live, assistant = forking.call()
    await assistant.start_turn("hello")
    await live.next_stream()


@pytest.mark.parametrize("status", ["queued", "ringing", "scheduled"])
async def test_a_call_that_is_not_under_way_yet_is_not_forked(forking: Forking, status: str) -> None:
    caller, _, assistant = forking.call()
    await assistant.send_status_update(status)
    assert not forking.live(caller)
    await assistant.send_status_update("in-progress")
    assert forking.live(caller)


async def test_no_call_is_born_of_messages_that_come_after_its_end(forking: Forking) -> None:
    caller, live, assistant = forking.call()
    await assistant.send_status_update("in-progress")
    await live.next_stream()
    await assistant.end()
    await forking.callmood.ended(caller.call_sid)
    await assistant.send_status_update("in-progress")
    await assistant.send("end-of-call-report", endedReason="customer-ended-call", artifact={}, analysis={})
    await assistant.send_speech_update("assistant", "started")
    assert not forking.live(caller)
    assert len(live.streams) == 1


async def test_an_end_that_overtakes_the_beginning_leaves_no_call_behind(forking: Forking) -> None:
    caller, live, assistant = forking.call()
    await assistant.send_status_update("ended", endedReason="customer-ended-call")
    await assistant.send_status_update("in-progress")
    await assistant.send_speech_update("assistant", "started")
    await trio.sleep(0.05)
    assert not forking.live(caller)
    assert not live.streams


async def test_a_call_that_is_not_twilios_is_none_of_ours(forking: Forking) -> None:
    assistant = forking.callmood.assistant("7a1c4f0e-not-of-twilio")
    answer = await assistant.send_status_update("in-progress")
    assert answer is not None
    assert answer.status_code == 200
    assert len(forking.callmood.ready.directory) == 0
    assert not forking.twilio.requests


async def test_a_forged_message_begins_nothing_and_asks_nobody(forking: Forking) -> None:
    caller, _, _ = forking.call()
    forged = forking.callmood.assistant(caller.call_sid, secret="a-guess")
    answer = await forged.send_status_update("in-progress")
    assert answer is not None
    assert answer.status_code == 401
    await trio.sleep(0.05)
    assert not forking.live(caller)
    assert not forking.twilio.requests


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=503, times=2),
        Fault("status", status=429, times=1, retry_after=0.1),
        Fault("reset", times=2),
        Fault("garbage", times=2),
        Fault("stall", times=1),
    ],
    ids=lambda fault: f"{fault.kind}{fault.status}",
)
async def test_a_twilio_that_fails_for_a_moment_is_asked_again(
    forking: Forking, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    if fault.kind == "stall":
        little_patience(monkeypatch, 0.3)
    caller, live, assistant = forking.call()
    forking.twilio.fault = fault
    await assistant.send_status_update("in-progress")
    plan = await live.next_stream()
    async with caller.stream(plan) as stream:
        call = forking.callmood.ready.directory.find(caller.call_sid)
        assert call is not None
        await forking.callmood.until(lambda: call.stream_sid == stream.stream_sid)
        assert call.awaits_audio


@pytest.mark.parametrize(
    ("fault", "asked"),
    [
        (Fault("status", status=401), 1),
        (Fault("status", status=404), 1),
        (Fault("status", status=400), 1),
        (Fault("status", status=429), 3),
        (Fault("status", status=500), 3),
        (Fault("reset"), 3),
        (Fault("stall"), 3),
        (Fault("refuse"), 3),
    ],
    ids=lambda value: f"{value.kind}{value.status}" if isinstance(value, Fault) else "",
)
async def test_without_audio_the_call_goes_on_unread_and_ends_when_vapi_says_so(
    start: Start, account: OwnPort, monkeypatch: pytest.MonkeyPatch, fault: Fault, asked: int
) -> None:
    if fault.kind == "stall":
        little_patience(monkeypatch, 0.1)
    monkeypatch.setattr("agent.attach.fork.FIRST_BACKOFF_S", 0.02)
    forking = await fork(start, account, connect_within_s=1.0, line_quiet_s=0.1)
    caller, _, assistant = forking.call()
    asks = count_asks(monkeypatch)
    account.twilio.fault = fault
    await assistant.send_status_update("in-progress")
    degraded = await forking.callmood.event(caller.call_sid, "analyzer.degraded")
    assert degraded["reason"].startswith("no audio: Twilio ")
    assert AUTH_TOKEN not in str(degraded)
    assert len(asks) == asked
    await trio.sleep(1.0)  # by now a stream that was awaited would have made the call expire
    assert (await forking.callmood.emotion(caller.call_sid, "frustrated", 0.8))["status"] == "updated"
    await assistant.end()
    ended = await forking.callmood.ended(caller.call_sid)
    assert ended["outcome"] == "hangup"
    assert [event["event"] for event in ended["timeline"]].count("analyzer.degraded") == 1


def count_asks(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One entry for each time that Twilio is asked for a stream, whatever becomes of it."""
    asks: list[None] = []
    start_stream = TwilioRest.start_stream

    async def counted(rest: TwilioRest, *args: Any, **kwargs: Any) -> str:
        asks.append(None)
        return await start_stream(rest, *args, **kwargs)

    monkeypatch.setattr(TwilioRest, "start_stream", counted)
    return asks


async def test_nobody_is_asked_again_about_a_call_that_is_over(
    start: Start, account: OwnPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.attach.fork.FIRST_BACKOFF_S", 0.3)
    forking = await fork(start, account)
    caller, _, assistant = forking.call()
    asks = count_asks(monkeypatch)
    account.twilio.fault = Fault("status", status=503)
    await assistant.send_status_update("in-progress")
    await forking.callmood.until(lambda: bool(asks))
    await assistant.end()
    ended = await forking.callmood.ended(caller.call_sid)
    await trio.sleep(0.5)
    assert len(asks) == 1
    assert [event["event"] for event in ended["timeline"]] == ["call.started", "call.ended"]


async def test_a_full_service_leaves_the_call_to_vapi(start: Start, account: OwnPort) -> None:
    forking = await fork(start, account, max_calls=1)
    _, first, one = forking.call()
    await one.send_status_update("in-progress")
    await first.next_stream()
    other, second, two = forking.call()
    answer = await two.send_status_update("in-progress")
    assert answer is not None
    assert answer.status_code == 200
    await one.end()
    await forking.callmood.until(lambda: len(forking.callmood.ready.directory) == 0)
    await two.start_turn("half of the call is over")
    await trio.sleep(0.05)
    assert not forking.live(other)
    assert not second.streams


async def test_a_draining_service_begins_no_call(start: Start, account: OwnPort) -> None:
    forking = await fork(start, account, drain_s=2.0)
    _, live, assistant = forking.call()
    await assistant.send_status_update("in-progress")
    await live.next_stream()
    forking.callmood.stop.set()
    await forking.callmood.until(lambda: forking.callmood.ready.directory.draining)
    other, second, late = forking.call()
    answer = await late.send_status_update("in-progress")
    assert answer is not None
    assert answer.status_code == 200
    assert not forking.live(other)
    assert not second.streams
    await assistant.end()
    await forking.callmood.returned.wait()


async def test_a_caller_who_comes_to_us_all_the_same_is_only_sent_on(start: Start, account: OwnPort) -> None:
    forking = await fork(start, account, transfer_to=HUMAN)
    placed = await forking.callmood.caller().place()
    (dial,) = ET.fromstring(placed.twiml)
    assert (dial.tag, dial.text) == ("Dial", HUMAN)
    assert len(forking.callmood.ready.directory) == 0


async def test_where_no_audio_is_wanted_twilio_is_not_asked(start: Start, account: OwnPort) -> None:
    forking = await fork(start, account, profile="off", connect_within_s=0.1)
    caller, _, assistant = forking.call()
    await assistant.send_status_update("in-progress")
    await trio.sleep(0.3)
    assert forking.live(caller)
    assert not account.twilio.requests
    await assistant.end()
    assert (await forking.callmood.ended(caller.call_sid))["outcome"] == "hangup"


async def test_a_stream_that_came_about_although_twilio_did_not_say_so_does_no_harm(
    forking: Forking, monkeypatch: pytest.MonkeyPatch
) -> None:
    little_patience(monkeypatch, 0.3)
    caller, live, assistant = forking.call()
    forking.twilio.fault = Fault("delay", seconds=0.6, times=1)
    await assistant.send_status_update("in-progress")
    await live.next_stream()
    await live.next_stream()  # asked for earlier, and come about later
    first, second = (live.streams[name] for name in sorted(live.streams))
    assert first.parameters["token"] != second.parameters["token"]
    call = forking.callmood.ready.directory.find(caller.call_sid)
    assert call is not None
    async with caller.stream(second) as stream:
        await forking.callmood.until(lambda: call.stream_sid == stream.stream_sid)
        async with caller.stream(first) as older:
            closed = await older.wait_closed()
            assert (closed.code, closed.reason) == (1008, "Superseded")
        assert call.outcome is None
    assert (await forking.callmood.ended(caller.call_sid))["outcome"] == "hangup"
    assert "analyzer.degraded" not in call.timeline.counts


def test_what_has_begun_is_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.attach.at_vapi.REMEMBERED", 4)
    begun = VapiBegun(None)  # type: ignore[arg-type]
    messages = [ServerMessage("hang", vapi_call_id=f"v{n}", call_sids=(f"CA{n}",)) for n in range(4)]
    for message in messages:
        assert begun.unknown(message)
        begun.remember(message)
        assert not begun.unknown(message)
    assert [begun.unknown(message) for message in messages] == [True, True, False, False]
