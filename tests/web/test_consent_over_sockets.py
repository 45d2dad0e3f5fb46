"""The notice in front of everything, and the ways of saying no, as Twilio, Vapi and a caller meet them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
import trio
from bridging import open_office

from agent.settings import NoticeSettings, Secret
from agent.telephony.notice import Notice, asks_for, say_first, without_fork
from agent.testing import PRIVATE_KEY, FakeVapi

if TYPE_CHECKING:
    from conftest import Callmood, Start

NOTICE = NoticeSettings(text="We listen & learn.", opt_out="Press {key}.", language="en-GB", voice="Polly.Amy")
SILENCE = bytes([0xFF])


def verbs(twiml: str) -> list[str]:
    return [verb.tag for verb in ET.fromstring(twiml)]


def said(twiml: str) -> ET.Element:
    say = ET.fromstring(twiml)[0]
    assert say.tag == "Say"
    return say


def without_say(twiml: str) -> str:
    return twiml[: twiml.index("<Say")] + twiml[twiml.index("</Say>") + len("</Say>") :]


def names(entry: dict[str, Any]) -> list[str]:
    return [event["event"] for event in entry["timeline"]]


# --- The notice ---


async def test_in_bridge_the_notice_comes_first_and_names_the_key(start: Start) -> None:
    told = await start(require_notice=True, notice=NOTICE)
    untold = await start()
    placed = await told.caller().place()
    assert verbs(placed.twiml) == ["Say", *verbs((await untold.caller().place()).twiml)]
    say = said(placed.twiml)
    assert (say.text, say.get("language"), say.get("voice")) == ("We listen & learn. Press 9.", "en-GB", "Polly.Amy")


async def test_in_tap_the_notice_stands_before_our_stream_and_nothing_of_vapis_is_changed(start: Start) -> None:
    async with FakeVapi.serve() as vapi:
        tapping = await start(
            attach="tap",
            vapi_api_key=Secret(PRIVATE_KEY),
            vapi_assistant_id="assistant-1",
            vapi_phone_number_id="number-1",
            vapi_base_url=vapi.url,
            require_notice=True,
            notice=NOTICE,
        )
        placed = await tapping.caller().place()
        assert verbs(placed.twiml) == ["Say", "Start", "Connect"]
        assert said(placed.twiml).text == "We listen & learn."  # no key reaches us here
        (made,) = vapi.created
        theirs = str(made.facts.created()["phoneCallProviderDetails"]["twiml"])  # type: ignore[index]
        ours = without_say(placed.twiml)
        assert ours[: ours.index("<Start>")] + ours[ours.index("</Start>") + len("</Start>") :] == theirs


async def test_in_sip_the_notice_stands_before_our_stream_and_the_call(start: Start) -> None:
    sip = await start(attach="sip", vapi_sip_uri="sip:bot@sip.vapi.ai", require_notice=True)
    assert verbs((await sip.caller().place()).twiml) == ["Say", "Start", "Dial"]


async def test_who_is_not_analysed_hears_no_notice(start: Start) -> None:
    full = await start(require_notice=True, max_calls=1, vapi_sip_uri="sip:bot@sip.vapi.ai")
    await full.caller().place()
    assert verbs((await full.caller().place()).twiml) == ["Dial"]


async def test_our_stream_proves_that_the_notice_was_heard(start: Start) -> None:
    callmood = await start(require_notice=True)
    caller = callmood.caller()
    placed = await caller.place()
    refused = await callmood.emotion(caller.call_sid, "angry", 0.95)
    assert refused == {"status": "ignored", "reason": "no_notice", "dominantEmotion": "neutral", "bufferSize": 0}
    assert placed.plan is not None
    async with callmood.open(caller, placed.plan) as line:
        await callmood.until(lambda: callmood.connected(line))
        assert (await callmood.emotion(line.call_sid, "angry", 0.95))["status"] == "updated"
        entry = await callmood.entry(line.call_sid)
        assert names(entry) == ["call.started", "notice.played", "audio.chunk"]
        assert entry["timeline"][1]["how"] == "say"


@pytest.mark.parametrize("attach", ["fork", "listen"])
async def test_where_the_twiml_is_not_ours_the_end_of_the_first_message_is_the_proof(start: Start, attach: str) -> None:
    callmood = await start(
        attach=attach,
        require_notice=True,
        webhook_url="http://127.0.0.1:1",
        twilio_account_sid="AC" + "0" * 32,
        twilio_base_url="http://127.0.0.1:1",
    )
    assistant = callmood.assistant("CA" + "1" * 32)
    await assistant.send_status_update("in-progress")
    await assistant.send_speech_update("assistant", "started")
    call_sid = next(iter(callmood.ready.directory)).call_sid
    assert (await callmood.emotion(call_sid, "angry", 0.95))["reason"] == "no_notice"
    await assistant.send_speech_update("user", "stopped")
    assert (await callmood.emotion(call_sid, "angry", 0.95))["reason"] == "no_notice"
    await assistant.send_speech_update("assistant", "stopped")
    assert (await callmood.emotion(call_sid, "angry", 0.95))["status"] == "updated"
    assert (await callmood.event(call_sid, "notice.played"))["how"] == "first message"


# --- Saying no ---


async def test_a_key_ends_the_analysis_and_not_the_call(start: Start) -> None:
    callmood = await start()
    async with callmood.on_the_line() as line:
        for _ in range(3):
            await callmood.emotion(line.call_sid, "angry", 0.95)
        await line.stream.press("5")
        assert await line.stream.play(SILENCE * 1600)
        assert (await callmood.entry(line.call_sid))["mood"]["label"] == "angry"
        await line.stream.press("9")
        assert (await callmood.event(line.call_sid, "consent.withdrawn"))["how"] == "key"
        refused = await callmood.emotion(line.call_sid, "angry", 0.95)
        assert refused == {"status": "ignored", "reason": "stopped", "dominantEmotion": "neutral", "bufferSize": 0}
        assert (await callmood.entry(line.call_sid))["mood"]["label"] == "neutral"
        assert await line.stream.play(SILENCE * 8000)
        assert line.stream.closed is None
    ended = await callmood.ended(line.call_sid)
    assert ended["outcome"] == "hangup"
    assert names(ended)[-2:] == ["consent.withdrawn", "call.ended"]


async def test_in_bridge_with_vapi_a_no_leaves_the_conversation_as_it_is(start: Start) -> None:
    async with open_office(start, require_notice=True) as office, office.call() as bridged:
        await bridged.stream.press("9")
        await office.callmood.until(lambda: not bridged.call.listening)
        words = bytes(range(160)) * 50
        assert await bridged.stream.play(words)
        await office.callmood.until(lambda: words in bytes(bridged.transport.heard))
        entry = await office.callmood.entry(bridged.call_sid)
        assert names(entry)[:3] == ["call.started", "notice.played", "consent.withdrawn"]
        assert "audio.chunk" not in names(entry)


async def test_the_assistants_tool_and_an_operator_can_say_it_too(callmood: Callmood) -> None:
    async with callmood.on_the_line() as first, callmood.on_the_line() as second:
        assistant = callmood.assistant(first.call_sid)
        call = {"id": "call-1", "type": "function", "function": {"name": "stop_analysis", "arguments": {}}}
        answer = await assistant.send("tool-calls", toolCallList=[call])
        assert answer is not None
        assert answer.json()["results"][0]["toolCallId"] == "call-1"
        assert (await callmood.event(first.call_sid, "consent.withdrawn"))["how"] == "tool"
        body = '{"action":"stop_analysis"}'
        for _ in range(2):
            assert (await callmood.post(f"/calls/{second.call_sid}/actions", body)).status_code == 202
        withdrawn = [
            e for e in (await callmood.entry(second.call_sid))["timeline"] if e["event"] == "consent.withdrawn"
        ]
        assert len(withdrawn) == 1
        for line in (first, second):
            assert (await callmood.emotion(line.call_sid, "angry", 0.95))["reason"] == "stopped"


async def test_nothing_is_told_to_an_assistant_whose_caller_has_said_no(callmood: Callmood) -> None:
    async with callmood.on_the_line() as line:
        await callmood.assistant(line.call_sid).send_status_update("in-progress")
        await line.stream.press("9")
        await callmood.event(line.call_sid, "consent.withdrawn")
        for _ in range(5):
            await callmood.emotion(line.call_sid, "angry", 0.95)
        await trio.sleep(0.6)
        assert not callmood.vapi.messages


# --- The TwiML ---

OURS = "wss://calls.example.com/audio-stream/CA1"
FORKED = (
    '<?xml version="1.0"?>\n<!-- <Response> --><Response x=">">'
    f'<Start><Stream url="{OURS}"/></Start><Dial>1</Dial>\n</Response>\n'
)


def test_a_notice_goes_in_front_and_leaves_every_other_byte_as_it_was() -> None:
    told = say_first(FORKED, Notice("<a> & 'b'", "de-DE"))
    assert without_say(told) == FORKED
    assert (said(told).text, dict(said(told).attrib)) == ("<a> & 'b'", {"language": "de-DE"})


def test_a_fork_is_taken_out_and_leaves_every_other_byte_as_it_was() -> None:
    assert asks_for(FORKED, OURS)
    bare = without_fork(FORKED, OURS)
    assert bare == FORKED.replace(f'<Start><Stream url="{OURS}"/></Start>', "")
    assert not asks_for(bare, OURS)


def test_another_ones_fork_stays() -> None:
    theirs = FORKED.replace(OURS, "wss://elsewhere.example.com/x")
    assert without_fork(theirs, OURS) == theirs
