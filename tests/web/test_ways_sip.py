"""Attach mode `sip`: our TwiML forks the caller's voice and dials the assistant's SIP address; nobody is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from agent.telephony.twiml import APOLOGY
from agent.testing import LiveCall, Pace, TwilioCaller

if TYPE_CHECKING:
    from conftest import Callmood, OwnPort, Start

ASSISTANT = "sip:support@sip.vapi.ai"
HUMAN = "+15550100199"


async def sip(start: Start, account: OwnPort, **changes: Any) -> Callmood:
    known = {"attach": "sip", "vapi_sip_uri": ASSISTANT, "transfer_to": HUMAN}
    return await start(**account.settings(**{**known, **changes}))


@pytest.fixture
async def callmood(start: Start, account: OwnPort) -> Callmood:
    return await sip(start, account)


async def place(callmood: Callmood, account: OwnPort) -> tuple[TwilioCaller, LiveCall]:
    """A caller whom Twilio has asked us about, and who is now being connected as we said."""
    caller = callmood.caller()
    live = account.twilio.take(caller)
    live.go_on((await caller.place()).twiml)
    return caller, live


def verbs(twiml: str) -> list[str]:
    return [verb.tag for verb in ET.fromstring(twiml)]


async def test_the_caller_is_forked_to_us_and_connected_to_the_assistant(callmood: Callmood) -> None:
    caller = callmood.caller()
    placed = await caller.place()
    start, dial = ET.fromstring(placed.twiml)
    assert (start.tag, start[0].get("track")) == ("Start", "inbound_track")
    assert (dial.tag, dial[0].tag) == ("Dial", "Sip")
    assert dial[0].text == f"{ASSISTANT}?x-callsid={caller.call_sid}"
    assert dial.get("action") == f"{callmood.url}/twilio/dial-status?leg=assistant"
    assert placed.plan is not None
    async with caller.stream(placed.plan, Pace(speed=20)) as stream:
        call = callmood.ready.directory.find(caller.call_sid)
        assert call is not None
        await callmood.until(lambda: call.stream_sid == stream.stream_sid)
        assert await stream.play(bytes([0xFF]) * 1600)
    ended = await callmood.ended(caller.call_sid)
    assert (ended["outcome"], ended["attach"]) == ("hangup", "sip")


async def test_headers_that_the_address_has_already_are_kept(start: Start, account: OwnPort) -> None:
    callmood = await sip(start, account, vapi_sip_uri=f"{ASSISTANT}?x-shop=7&x-more=<1>")
    caller = callmood.caller()
    dial = ET.fromstring((await caller.place()).twiml)[1]
    assert dial[0].text == f"{ASSISTANT}?x-shop=7&x-more=<1>&x-callsid={caller.call_sid}"


async def test_the_assistant_on_the_line_is_known_by_the_id_we_sent_along(callmood: Callmood, account: OwnPort) -> None:
    caller, _ = await place(callmood, account)
    facts = callmood.vapi.call().facts
    call = {
        "id": facts.call_id,
        "type": "inboundPhoneCall",
        "monitor": {"controlUrl": facts.control_url},
        "assistantOverrides": {"variableValues": {"callsid": caller.call_sid}},
    }
    await callmood.vapi_says({"message": {"type": "status-update", "status": "in-progress", "call": call}})
    for _ in range(3):
        await callmood.emotion(caller.call_sid, "frustrated", 0.8)
    note = await callmood.vapi.wait_for(lambda message: message.body["type"] == "add-message")
    assert note.call_id == facts.call_id


@pytest.mark.parametrize("status", ["completed", "answered"])
async def test_when_the_assistant_is_done_the_call_ends(callmood: Callmood, account: OwnPort, status: str) -> None:
    _, live = await place(callmood, account)
    assert verbs(await live.dial_ends(status)) == ["Hangup"]


@pytest.mark.parametrize("status", ["busy", "no-answer", "failed", "canceled", "", "nonsense"])
async def test_when_the_assistant_is_not_to_be_had_a_human_is_dialled_and_then_there_is_an_apology(
    callmood: Callmood, account: OwnPort, status: str
) -> None:
    caller, live = await place(callmood, account)
    await live.dial_ends(status)
    assert live.dials == HUMAN
    if status in ("busy", "failed"):
        failed = await callmood.event(caller.call_sid, "context.failed")
        assert status in failed["reason"]
    assert verbs(await live.dial_ends("no-answer")) == ["Say", "Hangup"]


async def test_without_a_human_an_assistant_who_does_not_answer_is_an_apology(start: Start, account: OwnPort) -> None:
    callmood = await sip(start, account, transfer_to="")
    _, live = await place(callmood, account)
    twiml = await live.dial_ends("failed")
    assert verbs(twiml) == ["Say", "Hangup"]
    assert APOLOGY in twiml


async def test_what_comes_next_is_said_of_calls_we_know_no_more(callmood: Callmood, account: OwnPort) -> None:
    caller, live = await place(callmood, account)
    await caller.complete(1.0)
    await callmood.ended(caller.call_sid)
    await live.dial_ends("busy")
    assert live.dials == HUMAN


async def test_nobody_but_twilio_may_ask_what_comes_next(callmood: Callmood, account: OwnPort) -> None:
    caller, live = await place(callmood, account)
    caller.auth_token = "a-guess"
    assert await live.dial_ends("busy") == ""
    for path in ("/twilio/dial-status", "/twilio/dial-status?leg=human"):
        answer = await callmood.post(path, f"CallSid={caller.call_sid}&DialCallStatus=busy")
        assert answer.status_code == 403


async def test_a_leg_that_is_none_of_ours_is_an_apology(callmood: Callmood, account: OwnPort) -> None:
    _, live = await place(callmood, account)
    live.go_on(live.executing.replace("leg=assistant", "leg=%0A&amp;leg=human"))
    assert verbs(await live.dial_ends("busy")) == ["Say", "Hangup"]


async def test_a_full_service_connects_the_caller_and_does_not_listen(start: Start, account: OwnPort) -> None:
    callmood = await sip(start, account, max_calls=1)
    await callmood.caller().place()
    placed = await callmood.caller().place()
    assert verbs(placed.twiml) == ["Dial"]
    assert ASSISTANT in placed.twiml


async def test_a_draining_service_connects_the_caller_and_asks_what_comes_next(start: Start, account: OwnPort) -> None:
    callmood = await sip(start, account, drain_s=2.0)
    caller, _ = await place(callmood, account)
    callmood.stop.set()
    await callmood.until(lambda: callmood.ready.directory.draining)
    _, live = await place(callmood, account)
    assert verbs(live.executing) == ["Dial"]
    await live.dial_ends("busy")
    assert live.dials == HUMAN
    await caller.complete(1.0)
    await callmood.returned.wait()
