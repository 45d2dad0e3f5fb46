"""A request to the gateway: one message more, four fields less, and everything else as it came."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.assistants.llm_request import read_request
from agent.errors import BadRequest
from agent.testing.fake_llm import problem

NOTE = "Caller state: angry (0.90, rising)."
OURS = {"role": "system", "content": NOTE}
SYSTEM = {"role": "system", "content": "Be brief."}
ASKS = {"role": "user", "content": "Where is my parcel?"}
CALLS = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}],
}
FOUND = {"role": "tool", "tool_call_id": "c1", "content": "In Leeds."}
SAYS = {"role": "assistant", "content": "In Leeds."}


def forwarded(body: dict[str, Any], note: str | None = NOTE, model: str = "") -> dict[str, Any]:
    return dict(json.loads(read_request(json.dumps(body).encode()).forwarded(note=note, model=model)))


@pytest.mark.parametrize(
    ("before", "behind"),
    [
        ([SYSTEM], [ASKS]),
        ([SYSTEM, ASKS, SAYS], [ASKS]),
        ([SYSTEM], [ASKS, CALLS, FOUND]),
        ([SYSTEM, ASKS, CALLS, FOUND, SAYS], [ASKS]),
        ([SYSTEM], []),
        ([SYSTEM, {"role": "developer", "content": "x"}], [SAYS]),
        ([], [SAYS]),
        ([], []),
        ([SYSTEM], [ASKS, SYSTEM]),
    ],
)
def test_the_note_stands_before_the_newest_word_of_the_user(
    before: list[dict[str, Any]], behind: list[dict[str, Any]]
) -> None:
    sent = forwarded({"model": "m", "messages": [*before, *behind]})
    assert sent["messages"] == [*before, OURS, *behind]
    assert not problem(sent) or not (before or behind)


def test_answers_of_tools_still_follow_their_calls() -> None:
    sent = forwarded({"model": "m", "messages": [SYSTEM, ASKS, CALLS, FOUND]})
    assert not problem(sent)


def test_without_a_note_the_messages_are_as_they_came() -> None:
    assert forwarded({"model": "m", "messages": [SYSTEM, ASKS]}, note=None)["messages"] == [SYSTEM, ASKS]


def test_what_says_who_is_calling_does_not_go_on() -> None:
    about = {name: {"number": "+15550100001"} for name in ("call", "phoneNumber", "customer", "metadata")}
    sent = forwarded({"model": "m", "messages": [ASKS], "temperature": 0.5, **about})
    assert set(sent) == {"model", "messages", "temperature"}


def test_a_model_of_ours_takes_the_place_of_the_one_asked_for() -> None:
    assert forwarded({"model": "gpt-4o", "messages": []}, model="llama-3")["model"] == "llama-3"
    assert forwarded({"messages": []}, model="llama-3")["model"] == "llama-3"
    assert forwarded({"model": "gpt-4o", "messages": []})["model"] == "gpt-4o"


def test_what_is_not_ours_goes_on_to_the_last_digit() -> None:
    untouched = b'"seed":10000000000000000000001,"temperature":1.50e0,"stop":["\\u00e9\xc3\xa9"],"user":"a\\/b"'
    message = b'{"role": "user",  "content": "\\ud83d\\ude00 10.0"}'
    body = b'{"model":"m",' + untouched + b',"messages":[' + message + b'],"call":{"id":"v1"}}'
    sent = read_request(body).forwarded(note=NOTE)
    assert untouched in sent
    assert message in sent


@pytest.mark.parametrize(
    ("call", "ids"),
    [
        ({"id": "v1"}, ("v1", ())),
        ({"id": "v1", "phoneCallProviderId": "CA1"}, ("v1", ("CA1",))),
        ({"transport": {"callSid": "CA2"}}, (None, ("CA2",))),
        ({"assistantOverrides": {"variableValues": {"x-callsid": "CA3"}}}, (None, ("CA3",))),
        ("v1", (None, ())),
        (None, (None, ())),
    ],
)
def test_the_call_is_named_as_in_server_messages(call: object, ids: tuple[str | None, tuple[str, ...]]) -> None:
    chat = read_request(json.dumps({"messages": [], "call": call}).encode())
    assert (chat.vapi_call_id, chat.call_sids) == ids


def test_the_assistants_metadata_may_name_the_call_too() -> None:
    assert read_request(b'{"metadata":{"callSid":"CA1"}}').call_sids == ("CA1",)


@pytest.mark.parametrize(
    "raw", [b"", b"null", b"[]", b"7", b"{", b'{"a":}', b"\xff", b'{"call":{"id":"\xff"}}', b'{"a":' * 99_999]
)
def test_what_is_no_object_of_json_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest) as refusal:
        read_request(raw)
    assert refusal.value.status == 400
    assert refusal.value.__cause__ is None


@pytest.mark.parametrize("messages", [None, "hello", {"role": "user"}, [7], [None, "x"], [{"role": 7}], [[]]])
def test_messages_that_are_none_go_on_unchanged_for_the_upstream_to_refuse(messages: object) -> None:
    assert forwarded({"messages": messages})["messages"] == messages


def test_without_messages_none_are_made_up() -> None:
    assert forwarded({"model": "m"}) == {"model": "m"}


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
roles = st.sampled_from(["system", "user", "assistant", "tool", "developer"])
messages = st.lists(st.fixed_dictionaries({"role": roles, "content": st.text()}), max_size=8)


@given(st.dictionaries(st.sampled_from(["model", "messages", "call", "metadata", "tools", "é"]), anything))
def test_no_shape_does_harm(body: dict[str, Any]) -> None:
    raw = json.dumps(body).encode()
    try:
        sent = read_request(raw).forwarded(note=NOTE, model="m")
    except BadRequest:
        return
    json.loads(sent)


@given(messages)
def test_exactly_one_message_is_added_and_none_is_moved(listed: list[dict[str, Any]]) -> None:
    sent = msgspec.json.decode(read_request(msgspec.json.encode({"messages": listed})).forwarded(note=NOTE))
    added = sent["messages"].index(OURS)
    assert sent["messages"][:added] + sent["messages"][added + 1 :] == listed


@given(st.binary())
def test_no_bytes_do_harm(raw: bytes) -> None:
    try:
        read_request(raw).forwarded(note=NOTE)
    except BadRequest:
        return
