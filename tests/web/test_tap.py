"""Attach mode `tap`: Vapi speaks with the caller, we listen beside it, and the call is never ours to endanger."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
import trio

from agent.settings import Secret
from agent.testing import PRIVATE_KEY, Fault

if TYPE_CHECKING:
    from conftest import Callmood, Start

HUMAN = "+15550100199"


@pytest.fixture
async def tapping(start: Start, monkeypatch: pytest.MonkeyPatch) -> Callmood:
    """A service whose calls are spoken with by the fake Vapi."""
    monkeypatch.setattr("agent.attach.tap.ANSWER_S", 0.5)
    first = await start(**tap_settings("http://127.0.0.1:1"))
    return await start(**tap_settings(first.vapi.url))


def tap_settings(vapi_url: str) -> dict[str, object]:
    return {
        "attach": "tap",
        "vapi_api_key": Secret(PRIVATE_KEY),
        "vapi_assistant_id": "assistant-1",
        "vapi_phone_number_id": "number-1",
        "vapi_base_url": vapi_url,
        "transfer_to": HUMAN,
        "max_calls": 2,
    }


def verbs(twiml: str) -> list[str]:
    return [verb.tag for verb in ET.fromstring(twiml)]


async def test_vapis_twiml_comes_back_with_our_stream_in_front_and_nothing_else_changed(tapping: Callmood) -> None:
    placed = await tapping.caller().place()
    (made,) = tapping.vapi.created
    theirs = str(made.facts.created()["phoneCallProviderDetails"]["twiml"])  # type: ignore[index]
    assert verbs(placed.twiml) == ["Start", "Connect"]
    start = placed.twiml[placed.twiml.index("<Start>") : placed.twiml.index("</Start>") + len("</Start>")]
    assert placed.twiml.replace(start, "") == theirs
    stream = ET.fromstring(start)[0]
    assert stream.get("track") == "inbound_track"
    assert {parameter.get("name") for parameter in stream} == {"callSid", "token"}


async def test_a_tapped_call_knows_its_assistant_from_the_start(tapping: Callmood) -> None:
    async with tapping.on_the_line() as line:
        (made,) = tapping.vapi.created
        for _ in range(3):
            await tapping.emotion(line.call_sid, "frustrated", 0.9)
        await tapping.vapi.wait_for(lambda message: message.body["type"] == "add-message")
        started = await tapping.event(line.call_sid, "call.started")
        assert (started["attach"], started["vapiCallId"]) == ("tap", made.facts.call_id)
        assert tapping.vapi.private_key_leaks == 0


async def test_a_repeated_webhook_shares_slot_and_vapi_call_and_gets_a_token_of_its_own(tapping: Callmood) -> None:
    caller = tapping.caller()
    placed = []

    async def place() -> None:
        placed.append(await caller.place())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(place)
        nursery.start_soon(place)
    placed.append(await caller.place())
    assert len(tapping.vapi.created) == len(tapping.ready.directory) == 1
    tokens = {answer.plan.parameters["token"] for answer in placed if answer.plan is not None}
    assert len(tokens) == 3


@pytest.mark.parametrize(
    "fault",
    [
        Fault("stall"),
        Fault("status"),
        Fault("status", status=429),
        Fault("status", status=401),
        Fault("reset"),
        Fault("garbage"),
    ],
    ids=lambda fault: f"{fault.kind}{fault.status}",
)
async def test_when_vapi_is_slow_wrong_or_down_the_caller_reaches_a_human(tapping: Callmood, fault: Fault) -> None:
    tapping.vapi.fault = fault
    placed = await tapping.caller().place()
    assert placed.status == 200
    assert verbs(placed.twiml) == ["Dial"]
    assert HUMAN in placed.twiml
    await tapping.until(lambda: len(tapping.ready.directory) == 0)


@pytest.mark.parametrize(
    "twiml",
    [
        "",
        "no xml",
        "<Response/>",
        "<Response></Response>",
        "<Other><Hangup/></Other>",
        "<!DOCTYPE x><Response><Hangup/></Response>",
    ],
)
async def test_twiml_of_vapis_that_cannot_be_used_is_a_call_ended_again(
    tapping: Callmood, twiml: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = type(tapping.vapi.call().facts).created
    monkeypatch.setattr(
        "agent.testing.vapi_contract.CallFacts.created",
        lambda facts: {**real(facts), "phoneCallProviderDetails": {"twiml": twiml}},
    )
    placed = await tapping.caller().place()
    assert verbs(placed.twiml) == ["Dial"]
    await tapping.vapi.wait_for(lambda message: message.body == {"type": "end-call"})


async def test_a_vapi_answer_after_the_fallback_is_ended_again(tapping: Callmood) -> None:
    tapping.vapi.fault = Fault("delay", seconds=1.0, times=1, path="/call")
    placed = await tapping.caller().place()
    assert verbs(placed.twiml) == ["Dial"]
    ended = await tapping.vapi.wait_for(lambda message: message.body == {"type": "end-call"})
    assert ended.call_id == tapping.vapi.created[-1].facts.call_id


async def test_a_full_service_still_connects_the_caller_to_vapi_but_does_not_listen(tapping: Callmood) -> None:
    for _ in range(2):
        await tapping.caller().place()
    placed = await tapping.caller().place()
    assert verbs(placed.twiml) == ["Connect"]
    assert len(tapping.vapi.created) == 3


async def test_a_withheld_number_is_not_passed_on_as_one(tapping: Callmood) -> None:
    placed = await tapping.caller(from_="anonymous").place()
    assert verbs(placed.twiml) == ["Start", "Connect"]
