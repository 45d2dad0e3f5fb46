"""Vapi's server messages: everything in the contract is read, and nothing else does harm."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.assistants.vapi_messages import (
    LONGEST_SPEECH,
    MOST_TOOL_CALLS,
    ServerMessage,
    ToolCall,
    read_message,
)
from agent.errors import BadMessage

CALL_ID = "7420f27a-30fd-4f49-a995-5549ae7cc00d"
SID = "CAa1b2c3d4e5f60718a1b2c3d4e5f60718"
CONTROL_URL = f"https://phone-call.aws-us-west-2.vapi.ai/{CALL_ID}/control"
CALL: dict[str, Any] = {
    "id": CALL_ID,
    "type": "inboundPhoneCall",
    "status": "in-progress",
    "phoneCallProviderId": SID,
    "transport": {"provider": "twilio", "accountSid": "AC1", "callSid": SID},
    "monitor": {"listenUrl": "wss://phone-call.aws-us-west-2.vapi.ai/x/transport", "controlUrl": CONTROL_URL},
    "customer": {"number": "+15550100001"},
}

# One of each type of the published schema, with the fields it requires.
TYPES: dict[str, dict[str, Any]] = {
    "status-update": {"status": "in-progress"},
    "speech-update": {"status": "started", "role": "assistant", "turn": 0},
    "transcript": {"role": "user", "transcriptType": "partial", "transcript": "I have been"},
    'transcript[transcriptType="final"]': {"role": "user", "transcriptType": "final", "transcript": "I have been"},
    "conversation-update": {"messagesOpenAIFormatted": [{"role": "user", "content": "…"}], "messages": []},
    "user-interrupted": {"turnId": "1"},
    "hang": {},
    "model-output": {"output": "Hello", "turnId": "1"},
    "assistant.speechStarted": {"text": "Hello", "turn": 0, "source": "model"},
    "tool-calls": {"toolCallList": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
    "assistant-request": {},
    "transfer-destination-request": {},
    "transfer-update": {"destination": {"type": "number", "number": "+15550100100"}},
    "phone-call-control": {"request": "hang-up"},
    "end-of-call-report": {"endedReason": "customer-ended-call", "artifact": {}, "analysis": {}},
    "a-type-of-tomorrow": {"status": {"nested": True}, "role": 7},
}


def body(type_: str = "speech-update", call: object = CALL, **fields: object) -> bytes:
    meta: dict[str, object] = {"timestamp": 1700000000000, "assistantVersion": None, "artifact": {"messages": []}}
    return json.dumps({"message": {"type": type_, "call": call, **meta, **fields}}).encode()


@pytest.mark.parametrize("type_", TYPES)
def test_every_message_of_the_contract_is_read(type_: str) -> None:
    message = read_message(body(type_, **TYPES[type_]))
    assert (message.type, message.vapi_call_id, message.call_sids[0]) == (type_, CALL_ID, SID)
    assert message.control_url == CONTROL_URL


def test_what_a_speech_update_says_is_understood() -> None:
    message = read_message(body("speech-update", status="stopped", role="assistant"))
    assert (message.status, message.role) == ("stopped", "assistant")


@pytest.mark.parametrize(
    ("call", "sids"),
    [
        ({"phoneCallProviderId": "CA1"}, ("CA1",)),
        ({"transport": {"callSid": "CA2"}}, ("CA2",)),
        ({"phoneCallProviderId": "CA1", "transport": {"callSid": "CA2"}}, ("CA1", "CA2")),
        ({"phoneCallProviderId": "CA1", "transport": {"callSid": "CA1"}}, ("CA1",)),
        ({"assistantOverrides": {"variableValues": {"callsid": "CA3"}}}, ("CA3",)),
        ({"assistantOverrides": {"variableValues": {"X-CallSid": "CA3", "name": "Ann"}}}, ("CA3",)),
        ({"assistantOverrides": {"metadata": {"call_sid": "CA3"}}}, ("CA3",)),
        ({"metadata": {"callSid": "CA4"}}, ("CA4",)),
        ({"transport": {"sipHeaders": {"x-callsid": "CA5"}}}, ("CA5",)),
        ({"phoneCallProviderDetails": {"sip": {"headers": {"X-CALLSID": "CA6"}}}}, ("CA6",)),
        ({"assistant": {"metadata": {"twilioCallSid": "CA7"}}}, ("CA7",)),
        (
            {"phoneCallProviderId": "sip-1", "assistantOverrides": {"variableValues": {"callsid": "CA3"}}},
            ("sip-1", "CA3"),
        ),
        ({"assistantOverrides": {"variableValues": {"callsid": 7, "sid": "CA8", "mycallsids": "CA9"}}}, ()),
        ({"assistantOverrides": {"variableValues": ["callsid"]}, "metadata": "callSid"}, ()),
        ({"phoneCallProviderId": None, "transport": None}, ()),
        ({"phoneCallProviderId": "", "transport": "twilio"}, ()),
        ({"phoneCallProviderId": "C" * 5000}, ()),
        ({}, ()),
    ],
)
def test_the_carriers_id_is_found_wherever_it_may_stand(call: object, sids: tuple[str, ...]) -> None:
    assert read_message(body(call=call)).call_sids == sids


def test_who_calls_and_where_to_listen_are_read() -> None:
    message = read_message(body())
    assert message.caller == "+15550100001"
    assert message.listen_url == "wss://phone-call.aws-us-west-2.vapi.ai/x/transport"
    assert message.call_status == "in-progress"
    over_sip = read_message(body(call={}, customer={"sipUri": "sip:ann@example.com"}))
    assert over_sip.caller == "sip:ann@example.com"


def test_what_an_end_says_is_read_from_either_place() -> None:
    report = read_message(body("end-of-call-report", endedReason="call.forwarding.operator-busy"))
    assert report.ended_reason == "call.forwarding.operator-busy"
    assert read_message(body("status-update", call={"endedReason": "customer-ended-call"})).ended_reason is not None


@pytest.mark.parametrize(
    ("type_", "fields", "text", "final"),
    [
        ("assistant.speechStarted", {"text": " Hello there. ", "turn": 2}, "Hello there.", True),
        ("transcript", {"transcriptType": "partial", "transcript": "Hel"}, "Hel", False),
        ("transcript", {"transcriptType": "final", "transcript": "Hello"}, "Hello", True),
        ('transcript[transcriptType="final"]', {"transcriptType": "final", "transcript": "Hello"}, "Hello", True),
        ("assistant.speechStarted", {"text": "  "}, None, True),
        ("assistant.speechStarted", {"text": ["Hello"]}, None, True),
        ("assistant.speechStarted", {"text": "a" * 100_000}, "a" * LONGEST_SPEECH, True),
    ],
)
def test_what_was_said_is_read_and_bounded(type_: str, fields: dict[str, Any], text: str | None, final: bool) -> None:
    message = read_message(body(type_, **fields))
    assert (message.text, message.final) == (text, final)


@pytest.mark.parametrize(
    ("turn", "read"), [(0, 0), (7, 7), (-1, None), (True, None), (1.5, None), ("1", None), (10**9, None)]
)
def test_turns_are_counted_in_whole_numbers(turn: object, read: int | None) -> None:
    assert read_message(body(turn=turn)).turn == read


@pytest.mark.parametrize(
    ("destination", "read"),
    [
        ({"type": "number", "number": "+15550100100"}, "+15550100100"),
        ({"type": "sip", "sipUri": "sip:desk@example.com"}, "sip:desk@example.com"),
        ({"type": "assistant", "assistantName": "billing"}, None),
        (None, None),
        ("+15550100100", None),
    ],
)
def test_only_a_human_is_a_destination(destination: object, read: str | None) -> None:
    assert read_message(body("transfer-update", destination=destination)).destination == read


STOP = ToolCall("t1", "stop_analysis", {"why": "asked"})


@pytest.mark.parametrize(
    ("listed", "calls"),
    [
        (
            [{"id": "t1", "type": "function", "function": {"name": "stop_analysis", "arguments": {"why": "asked"}}}],
            (STOP,),
        ),
        ([{"id": "t1", "function": {"name": "stop_analysis", "arguments": '{"why":"asked"}'}}], (STOP,)),
        ([{"id": "t1", "name": "stop_analysis", "parameters": {"why": "asked"}}], (STOP,)),
        ([{"id": "t1", "name": "stop_analysis", "arguments": '{"why":"asked"}'}], (STOP,)),
        ([{"id": "t1", "name": "stop_analysis"}], (ToolCall("t1", "stop_analysis"),)),
        ([{"id": "t1", "name": "stop_analysis", "parameters": "{not json"}], (ToolCall("t1", "stop_analysis"),)),
        ([{"id": "t1", "name": "stop_analysis", "parameters": "[" * 50_000}], (ToolCall("t1", "stop_analysis"),)),
        ([{"id": "t1", "name": "stop_analysis", "parameters": "[1]"}], (ToolCall("t1", "stop_analysis"),)),
        ([{"name": "stop_analysis"}, {"id": "t1"}, "t1", None, {"id": 7, "name": "f"}], ()),
        ({"id": "t1", "name": "stop_analysis"}, ()),
        (None, ()),
    ],
)
def test_a_tool_call_is_read_in_both_its_forms(listed: object, calls: tuple[ToolCall, ...]) -> None:
    assert read_message(body("tool-calls", toolCallList=listed)).tool_calls == calls


def test_a_flood_of_tool_calls_is_bounded() -> None:
    listed = [{"id": str(n), "name": "f"} for n in range(1000)]
    assert len(read_message(body("tool-calls", toolCallList=listed)).tool_calls) == MOST_TOOL_CALLS


@pytest.mark.parametrize("call", [None, [], "CA1", 7, {"id": 7, "monitor": []}, {"monitor": {"controlUrl": None}}])
def test_what_is_absent_or_of_another_type_is_none_and_no_error(call: object) -> None:
    message = read_message(body(call=call, status=[1], role={}))
    assert message == ServerMessage("speech-update")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'"message"',
        b'{"message":null}',
        b'{"message":[]}',
        b'{"message":{}}',
        b'{"message":{"type":7}}',
        b'{"message":{"type":"a"}',
        b'{"message":{"type":"a"}}x',
        b'{"message":{"type":"\xff"}}',
        b'{"message":{"type":"\\ud800"}}',
        b'{"message":{"type":"a","call":{"id":"\xff\xfe"}}}',
        b"error code: 1010",
        b'{"message":' * 100_000,
        b'{"message":{"type":"a","call":' + b"[" * 100_000,
    ],
)
def test_what_is_no_server_message_is_a_bad_message(raw: bytes) -> None:
    with pytest.raises(BadMessage) as refusal:
        read_message(raw)
    assert refusal.value.__cause__ is None


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def survives(raw: bytes) -> None:
    """It is read, or it is a bad message: nothing else may come of it."""
    try:
        message = read_message(raw)
    except BadMessage:
        return
    texts = (message.status, message.role, message.vapi_call_id, message.control_url, *message.call_sids)
    texts += (message.listen_url, message.caller, message.ended_reason, message.destination, message.call_status)
    assert all(text is None or (isinstance(text, str) and 0 < len(text) <= 2048) for text in texts)
    for text in (message.type, *texts):
        (text or "").encode()


@given(st.binary())
def test_no_bytes_do_harm(raw: bytes) -> None:
    survives(raw)


FIELDS = ("type", "status", "role", "call", "customer", "endedReason", "turn", "text", "transcript", "transcriptType")


@given(
    st.dictionaries(st.sampled_from([*FIELDS, "destination", "toolCallList", "toolCalls"]), anything),
    anything,
    anything,
)
def test_no_shape_does_harm(message: dict[str, Any], monitor: object, transport: object) -> None:
    survives(json.dumps({"message": message}).encode())
    survives(json.dumps({"message": {"type": "a", "call": {"monitor": monitor, "transport": transport}}}).encode())
    overrides = {"variableValues": monitor, "metadata": transport}
    survives(json.dumps({"message": {"type": "a", "call": {"assistantOverrides": overrides}}}).encode())
    survives(
        json.dumps({"message": {"type": "a", "toolCallList": [monitor, {"id": "1", "function": transport}]}}).encode()
    )


@given(st.integers(0, 2000), st.binary(min_size=1, max_size=4))
def test_no_damage_to_a_good_message_does_harm(at: int, damage: bytes) -> None:
    good = body()
    survives(good[:at] + damage + good[at + 1 :])


def test_a_message_of_several_megabytes_is_read() -> None:
    assert read_message(body(artifact={"transcript": "x" * 5_000_000})).vapi_call_id == CALL_ID


def test_a_message_shows_neither_its_address_nor_its_ids_when_printed() -> None:
    message = read_message(body())
    assert f"{message!r} {message!s}" == "ServerMessage(speech-update) ServerMessage(speech-update)"
