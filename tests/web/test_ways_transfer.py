"""Handing a caller over to a human in each attach mode, and who speaks with them where the human does not."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
import trio

from agent.attach.transfers import TwilioTransfers, VapiTransfers, checked_destination
from agent.errors import AssistantRefused, AssistantUnavailable, CallGone
from agent.http import client
from agent.settings import ListenSettings, Secret
from agent.telephony.twilio_rest import TwilioRest
from agent.testing import PRIVATE_KEY, FakeTwilio, Fault, LiveCall, TwilioCaller

if TYPE_CHECKING:
    from conftest import Callmood, OwnPort, Start

HUMAN = "+15550100199"
DESK = "sips:desk@pbx.example.com;transport=tls"
ASSISTANT = "sip:support@sip.vapi.ai"


def verbs(twiml: str) -> list[str]:
    return [verb.tag for verb in ET.fromstring(twiml)]


async def ask(callmood: Callmood, call_sid: str, to: str | None = None) -> int:
    body = {"action": "transfer", **({} if to is None else {"to": to})}
    answer = await callmood.post(f"/calls/{call_sid}/actions", json.dumps(body))
    return answer.status_code


async def tap(start: Start, account: OwnPort, **changes: Any) -> Callmood:
    first = await start()  # for the address of its Vapi
    known = {
        "attach": "tap",
        "vapi_api_key": Secret(PRIVATE_KEY),
        "vapi_assistant_id": "assistant-1",
        "vapi_phone_number_id": "number-1",
        "vapi_base_url": first.vapi.url,
        "transfer_to": HUMAN,
        "vapi_sip_uri": ASSISTANT,
    }
    return await start(**account.settings(**{**known, **changes}))


async def sip(start: Start, account: OwnPort, **changes: Any) -> Callmood:
    return await start(**account.settings(attach="sip", transfer_to=HUMAN, vapi_sip_uri=ASSISTANT, **changes))


async def bridge(start: Start, account: OwnPort, **changes: Any) -> Callmood:
    return await start(**account.settings(attach="bridge", transfer_to=HUMAN, vapi_sip_uri=ASSISTANT, **changes))


async def place(callmood: Callmood, account: OwnPort) -> tuple[TwilioCaller, LiveCall]:
    caller = callmood.caller()
    live = account.twilio.take(caller)
    assert (await caller.place()).plan is not None
    return caller, live


By_twilio = pytest.mark.parametrize("way", [tap, sip, bridge])
Way = Callable[..., Awaitable["Callmood"]]


@By_twilio
async def test_twilio_connects_the_caller_to_the_human(start: Start, account: OwnPort, way: Way) -> None:
    callmood = await way(start, account)
    caller, live = await place(callmood, account)
    assert await ask(callmood, caller.call_sid) == 202
    await live.told()
    (dial,) = ET.fromstring(live.executing)
    assert live.dials == HUMAN
    assert dial.get("action") == f"{callmood.url}/twilio/dial-status?leg=human"
    done = await callmood.event(caller.call_sid, "escalation.done")
    assert (done["action"], done["destination"]) == ("transfer", "***99")
    assert verbs(await live.dial_ends("completed")) == ["Hangup"]


async def test_a_sip_address_of_a_human_is_dialled_as_one(start: Start, account: OwnPort) -> None:
    callmood = await sip(start, account)
    caller, live = await place(callmood, account)
    assert await ask(callmood, caller.call_sid, DESK) == 202
    dial = ET.fromstring(await live.told())[0]
    assert [(child.tag, child.text) for child in dial] == [("Sip", DESK)]


@By_twilio
@pytest.mark.parametrize("status", ["busy", "no-answer", "failed"])
async def test_a_human_who_does_not_answer_is_recorded_and_the_caller_is_given_back_to_the_assistant(
    start: Start, account: OwnPort, way: Way, status: str
) -> None:
    callmood = await way(start, account)
    caller, live = await place(callmood, account)
    await ask(callmood, caller.call_sid)
    await callmood.event(caller.call_sid, "escalation.done")
    await live.dial_ends(status)
    assert live.dials == f"{ASSISTANT}?x-callsid={caller.call_sid}"
    failed = await callmood.event(caller.call_sid, "escalation.failed")
    assert status in failed["reason"]
    assert verbs(await live.dial_ends("completed")) == ["Hangup"]


async def test_where_there_is_no_assistant_to_go_back_to_the_caller_is_told_so(start: Start, account: OwnPort) -> None:
    callmood = await tap(start, account, vapi_sip_uri="")
    caller, live = await place(callmood, account)
    await ask(callmood, caller.call_sid)
    await live.told()
    assert verbs(await live.dial_ends("busy")) == ["Say", "Hangup"]


async def test_the_caller_is_given_back_even_if_the_call_is_over_for_us(start: Start, account: OwnPort) -> None:
    callmood = await bridge(start, account)
    caller, live = await place(callmood, account)
    await ask(callmood, caller.call_sid)
    await live.told()
    call = callmood.ready.directory.find(caller.call_sid)
    assert call is not None
    call.stream_ended()
    await caller.complete(1.0)
    await callmood.ended(caller.call_sid)
    await live.dial_ends("no-answer")
    assert live.dials is not None
    assert live.dials.startswith(ASSISTANT)


@pytest.mark.parametrize("fault", [Fault("status", status=401), Fault("status", status=400)], ids=["401", "400"])
async def test_a_transfer_that_twilio_refuses_is_recorded_and_nothing_else_happens(
    start: Start, account: OwnPort, fault: Fault
) -> None:
    callmood = await sip(start, account)
    caller, live = await place(callmood, account)
    account.twilio.fault = fault
    await ask(callmood, caller.call_sid)
    failed = await callmood.event(caller.call_sid, "escalation.failed")
    assert str(fault.status) in failed["reason"]
    assert HUMAN not in str(failed)
    assert not live.executing
    assert callmood.ready.directory.find(caller.call_sid) is not None


async def test_without_credentials_of_twilio_a_transfer_fails_and_says_what_is_missing(
    start: Start, account: OwnPort
) -> None:
    callmood = await sip(start, account, twilio_account_sid="")
    caller, _ = await place(callmood, account)
    await ask(callmood, caller.call_sid)
    assert "TWILIO_ACCOUNT_SID" in (await callmood.event(caller.call_sid, "escalation.failed"))["reason"]


@pytest.mark.parametrize(
    ("to", "wanted"),
    [(HUMAN, {"type": "number", "number": HUMAN}), (DESK, {"type": "sip", "sipUri": DESK})],
    ids=["number", "sip"],
)
@pytest.mark.parametrize("mode", ["fork", "listen"])
async def test_vapi_hands_over_its_own_calls(
    start: Start, account: OwnPort, mode: str, to: str, wanted: dict[str, str]
) -> None:
    callmood = await start(**account.settings(attach=mode, listen=ListenSettings()))
    caller = callmood.caller()
    account.twilio.take(caller)
    assistant = callmood.assistant(caller.call_sid)
    await assistant.send_status_update("in-progress")
    assert await ask(callmood, caller.call_sid, to) == 202
    message = await callmood.vapi.wait_for(lambda message: message.body["type"] == "transfer")
    assert message.body["destination"] == wanted
    ended = await callmood.ended(caller.call_sid)
    events = [event["event"] for event in ended["timeline"]]
    assert events.count("escalation.done") == 1
    assert "escalation.failed" not in events
    assert all("/Streams.json" in path for path, _ in account.twilio.requests)


@pytest.mark.parametrize(
    "text", [HUMAN, "+12", "sip:a@b", "SIP:desk@example.com:5060", DESK, "sip:a@[::1]", "sip:a@b?x-case=1"]
)
def test_a_number_or_sip_address_may_be_transferred_to(text: str) -> None:
    assert checked_destination(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5550100199",
        "+0123",
        "+1555010019912345",
        "+1 555 0100199",
        "+1555\n",
        "tel:+15550100199",
        "sip:",
        "sip:desk",
        "sip:a b@example.com",
        "sip:a@b@c",
        "sip:<a>@b",
        "https://example.com",
        "sip:a@b\r\nX: y",
        "+" + "\uff11" * 5,
        "sip:" + "a" * 1000 + "@b",
    ],
)
def test_nothing_else_may(text: str) -> None:
    with pytest.raises(AssistantRefused):
        checked_destination(text)


async def test_twilios_errors_reach_the_escalator_as_the_ports_own() -> None:
    with trio.fail_after(10):
        async with FakeTwilio.serve(auth_token="t") as twilio, client() as http:
            rest = TwilioRest(http, account_sid=twilio.account_sid, auth_token="t", base_url=twilio.url)
            transfers = TwilioTransfers(rest, "")
            call_sid = twilio.take(TwilioCaller()).caller.call_sid
            twilio.fault = Fault("status", status=429, retry_after=3, times=1)
            with pytest.raises(AssistantUnavailable) as outage:
                await transfers.transfer(call_sid, HUMAN)
            assert outage.value.retry_after == 3
            with pytest.raises(AssistantRefused):
                await transfers.transfer(call_sid, "nowhere")
            with pytest.raises(AssistantRefused):
                await transfers.transfer("../x", HUMAN)
            with pytest.raises(CallGone):
                await transfers.transfer("CA" + "0" * 32, HUMAN)
            await transfers.transfer(call_sid, HUMAN)
            assert "action" not in twilio.requests[-1][1]["Twiml"]


async def test_vapi_is_not_asked_for_what_is_no_destination() -> None:
    class Control:
        async def post(self, *_: object) -> None:
            raise AssertionError("nothing should be sent")

    with pytest.raises(AssistantRefused):
        await VapiTransfers(Control()).transfer("CA1", "nowhere")  # type: ignore[arg-type]
