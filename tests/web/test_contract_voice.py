"""POST /voice/incoming: who may ask, what the caller gets, and whose slot is whose."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from agent.settings import Secret
from agent.telephony.signature import SIGNATURE_HEADER
from agent.telephony.twiml import APOLOGY, read_stream

if TYPE_CHECKING:
    from conftest import Callmood, Start

SID = "CA" + "0a" * 16
FORM = [("CallSid", SID), ("From", "+15550100001"), ("To", "+15550100100"), ("CallStatus", "ringing"), ("Blank", "")]


def refusal(body: dict[str, object]) -> str:
    """The code of an error in the one shape errors have."""
    error = body["error"]
    assert isinstance(error, dict)
    assert set(body) == {"error"}
    assert set(error) == {"code", "message"}
    assert str(error["message"]).strip()
    return str(error["code"])


async def test_a_signed_call_gets_a_stream_with_its_own_id_and_a_token(callmood: Callmood) -> None:
    answer = await callmood.signed("/voice/incoming", FORM)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(("text/xml", "application/xml"))
    plan = read_stream(answer.text)
    assert plan is not None
    assert plan.verb == "Connect"
    assert plan.url == f"ws://{callmood.host}/audio-stream/{SID}"
    assert plan.parameters["callSid"] == SID
    assert len(plan.parameters["token"]) >= 16
    assert plan.status_callback == f"{callmood.url}/twilio/stream-status"
    assert "?" not in plan.url


async def test_the_call_is_known_before_the_answer_arrives(callmood: Callmood) -> None:
    await callmood.signed("/voice/incoming", FORM)
    entry = await callmood.entry(SID)
    assert entry["state"] == "live"
    assert entry["attach"] == "bridge"


async def test_the_fallback_stands_behind_the_stream_in_case_our_process_dies(start: Start) -> None:
    callmood = await start(transfer_to="+15550100777")
    answer = await callmood.signed("/voice/incoming", FORM)
    assert [verb.tag for verb in ET.fromstring(answer.text)] == ["Connect", "Dial"]


@pytest.mark.parametrize("signature", [None, "", "x", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=", "é" * 28])
async def test_a_missing_or_wrong_signature_is_refused_with_403(callmood: Callmood, signature: str | None) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    raw = headers if signature is None else {**headers, "X-Twilio-Signature": signature.encode("utf-8")}
    answer = await callmood.post("/voice/incoming", f"CallSid={SID}", raw)  # type: ignore[arg-type]
    assert answer.status_code == 403
    refusal(answer.json())
    assert callmood.ready.directory.find(SID) is None


@pytest.mark.parametrize("path", ["/voice/incoming", "/twilio/stream-status", "/twilio/call-status"])
async def test_every_webhook_of_twilio_wants_a_signature(callmood: Callmood, path: str) -> None:
    answer = await callmood.post(path, f"CallSid={SID}", {"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 403
    refusal(answer.json())


async def test_a_signature_made_with_another_auth_token_is_refused(callmood: Callmood) -> None:
    placed = await callmood.caller(auth_token="not the auth token").place()
    assert placed.status == 403


async def test_a_field_added_after_signing_is_refused(callmood: Callmood) -> None:
    caller = callmood.caller()
    signed = await callmood.signed("/voice/incoming", FORM)
    headers = {name: signed.request.headers[name] for name in ("X-Twilio-Signature", "Content-Type")}
    body = signed.request.content.decode() + "&Extra=1"
    assert (await callmood.post("/voice/incoming", body, headers)).status_code == 403
    assert callmood.ready.directory.find(caller.call_sid) is None


async def test_without_an_auth_token_and_with_insecure_nothing_needs_a_signature(start: Start) -> None:
    callmood = await start(insecure=True, twilio_auth_token=Secret())
    async with callmood.on_the_line(auth_token=None) as line:
        assert (await callmood.entry(line.call_sid))["state"] == "live"


PUBLIC = "https://calls.example.com"


@pytest.mark.parametrize(
    ("webhook_url", "signed_as"),
    [
        (PUBLIC, PUBLIC),
        (PUBLIC + "/", PUBLIC),
        (PUBLIC, PUBLIC + ":443"),
        (PUBLIC + ":8443", PUBLIC),
        (PUBLIC + ":8443", PUBLIC + ":8443"),
        ("http://calls.example.com:8080", "http://calls.example.com:8080"),
    ],
)
async def test_the_configured_origin_is_what_is_signed_with_its_port_or_without(
    start: Start, webhook_url: str, signed_as: str
) -> None:
    callmood = await start(webhook_url=webhook_url)
    answer = await callmood.signed("/voice/incoming", FORM, signed_as=signed_as)
    assert answer.status_code == 200
    plan = read_stream(answer.text)
    assert plan is not None
    scheme = "wss" if webhook_url.startswith("https") else "ws"
    assert plan.url == f"{scheme}://{webhook_url.partition('://')[2].rstrip('/')}/audio-stream/{SID}"


async def test_with_a_configured_origin_the_host_header_counts_for_nothing(start: Start) -> None:
    callmood = await start(webhook_url=PUBLIC)
    assert (await callmood.signed("/voice/incoming", FORM)).status_code == 403
    forwarded = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
    answer = await callmood.signed("/voice/incoming", FORM, signed_as="https://evil.example", headers=forwarded)
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("host", "signed_as"),
    [
        ("calls.example.com", "https://calls.example.com"),
        ("calls.example.com", "https://calls.example.com:443"),
        ("calls.example.com:443", "https://calls.example.com"),
        ("calls.example.com:8443", "https://calls.example.com"),
        ("calls.example.com:8080", "http://calls.example.com:8080"),
    ],
)
async def test_without_a_configured_origin_the_host_header_says_what_was_signed(
    callmood: Callmood, host: str, signed_as: str
) -> None:
    answer = await callmood.signed("/voice/incoming", FORM, signed_as=signed_as, headers={"Host": host})
    assert answer.status_code == 200
    plan = read_stream(answer.text)
    assert plan is not None
    assert plan.url.startswith("wss://calls.example.com")


async def test_behind_a_proxy_the_forwarded_host_is_the_one_in_the_twiml(callmood: Callmood) -> None:
    forwarded = {"X-Forwarded-Host": "calls.example.com", "X-Forwarded-Proto": "https"}
    answer = await callmood.signed("/voice/incoming", FORM, signed_as=PUBLIC, headers=forwarded)
    plan = read_stream(answer.text)
    assert plan is not None
    assert plan.url == f"wss://calls.example.com/audio-stream/{SID}"


async def test_whatever_is_inserted_into_the_twiml_is_escaped(start: Start) -> None:
    callmood = await start(max_calls=1, transfer_to='sip:desk@example.com?a=1&b=<"2">')
    await callmood.signed("/voice/incoming", FORM)
    full = await callmood.signed("/voice/incoming", [("CallSid", "CA2"), ("From", "<&>")])
    assert ET.fromstring(full.text).findtext("./Dial/Sip") == 'sip:desk@example.com?a=1&b=<"2">'


@pytest.mark.parametrize(
    "call_sid", [None, "", "../calls", "a b", "CA1\n", "é", "x" * 65, "<Say>", "CA1/stop", "CA1?x=1", "%2e"]
)
async def test_a_missing_or_odd_call_id_is_400_and_takes_no_slot(callmood: Callmood, call_sid: str | None) -> None:
    form = [("From", "+15550100001"), *([] if call_sid is None else [("CallSid", call_sid)])]
    answer = await callmood.signed("/voice/incoming", form)
    assert answer.status_code == 400
    refusal(answer.json())
    assert len(callmood.ready.directory) == 0


@pytest.mark.parametrize("body", [b"CallSid=%ff%fe", b"\xff\xfe\x00", b"&".join([b"a=1"] * 2000)])
async def test_a_form_that_cannot_be_read_is_refused_without_a_fault_of_ours(callmood: Callmood, body: bytes) -> None:
    answer = await callmood.post("/voice/incoming", body, {"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status_code in (400, 403)
    refusal(answer.json())


async def test_a_form_that_is_too_large_is_413(callmood: Callmood) -> None:
    answer = await callmood.post("/voice/incoming", b"a" * 200_000, {SIGNATURE_HEADER: "x" * 28})
    assert answer.status_code == 413
    refusal(answer.json())


# Slots.


@pytest.mark.parametrize(
    ("settings", "path", "text"),
    [
        ({"transfer_to": "+15550100777", "vapi_sip_uri": "sip:desk@sip.vapi.ai"}, "./Dial", "+15550100777"),
        ({"vapi_sip_uri": "sip:desk@sip.vapi.ai"}, "./Dial/Sip", "sip:desk@sip.vapi.ai"),
        ({}, "./Say", APOLOGY),
    ],
)
async def test_a_caller_beyond_the_limit_is_sent_on_and_never_turned_away(
    start: Start, settings: dict[str, str], path: str, text: str
) -> None:
    callmood = await start(max_calls=1, **settings)
    async with callmood.on_the_line():
        answer = await callmood.signed("/voice/incoming", FORM)
        assert answer.status_code == 200
        root = ET.fromstring(answer.text)
        assert root.findtext(path) == text
        assert not list(root.iter("Stream"))
        assert callmood.ready.directory.find(SID) is None
        ready = await callmood.get("/readyz", {})
        assert ready.status_code == 503
    assert (await callmood.get("/healthz", {})).status_code == 200


async def test_a_repeated_webhook_uses_the_same_slot_and_brings_a_new_token(start: Start) -> None:
    callmood = await start(max_calls=1)
    plans = [read_stream((await callmood.signed("/voice/incoming", FORM)).text) for _ in range(3)]
    tokens = {plan.parameters["token"] for plan in plans if plan is not None}
    assert len(tokens) == 3
    assert len(callmood.ready.directory) == 1


async def test_a_slot_is_free_again_when_the_stream_never_comes(start: Start) -> None:
    callmood = await start(max_calls=1, connect_within_s=0.2)
    await callmood.signed("/voice/incoming", FORM)
    assert (await callmood.ended(SID))["state"] == "ended"
    async with callmood.on_the_line():
        assert len(callmood.ready.directory) == 1


async def test_a_slot_is_free_again_after_the_caller_hung_up(start: Start) -> None:
    callmood = await start(max_calls=1)
    for _ in range(3):
        async with callmood.on_the_line() as line:
            pass
        assert (await callmood.ended(line.call_sid))["outcome"] == "hangup"


@pytest.mark.parametrize("status", ["completed", "busy", "failed", "no-answer", "canceled"])
async def test_a_call_that_is_over_before_its_stream_came_frees_its_slot(callmood: Callmood, status: str) -> None:
    await callmood.signed("/voice/incoming", FORM)
    answer = await callmood.signed("/twilio/call-status", [("CallSid", SID), ("CallStatus", status)])
    assert answer.is_success
    assert (await callmood.ended(SID))["outcome"] == "hangup"


async def test_callbacks_of_calls_nobody_knows_are_taken_in_silence(callmood: Callmood) -> None:
    for path in ("/twilio/call-status", "/twilio/stream-status"):
        form = [("CallSid", "CA9"), ("CallStatus", "completed"), ("StreamEvent", "stream-stopped")]
        assert (await callmood.signed(path, form)).is_success


async def test_a_call_id_that_was_used_before_can_call_again(callmood: Callmood) -> None:
    caller = callmood.caller()
    async with callmood.on_the_line(caller):
        pass
    await callmood.ended(caller.call_sid)
    async with callmood.on_the_line(replace(caller)):
        assert (await callmood.entry(caller.call_sid))["state"] == "live"
