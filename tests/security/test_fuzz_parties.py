"""Anything at all from those we deal with: Vapi with its tools, the model's askers, engines, rules files.

Parsed or refused, and nothing else; as in `test_fuzz`, inputs are mostly good ones with something wrong.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_fuzz import bodies, bounded, damaged, in_one_sentence

from agent.assistants.llm_request import read_request
from agent.assistants.vapi import BadControlUrl
from agent.assistants.vapi_dial import checked_socket_url
from agent.assistants.vapi_listen import MOST_SHAPES, ListenedAudio, ListenShape
from agent.assistants.vapi_messages import LONGEST_SPEECH, MOST_TOOL_CALLS, read_message
from agent.attach.transfers import checked_destination
from agent.config_sources import read_dotenv
from agent.core.emotion import LABELS, Emotion, Mood, Trend
from agent.core.rulebook import TEXT_AT_MOST, RuleBook, parse
from agent.dotenv import with_values
from agent.engines.expressions import load
from agent.engines.hume.dialect import HumeDialect
from agent.engines.oruk import OrukDialect
from agent.engines.streamed import Measured, Over
from agent.errors import AssistantRefused, BadMessage, BadRequest, ConfigError
from agent.settings import Settings
from agent.web.vapi_answers import ANSWERS, answer


def a_sentence(refusal: Exception, start: str = "", without: str = "") -> None:
    said = str(refusal)
    assert len(said.splitlines()) == 1
    assert said.startswith(start)
    assert not without or without not in said


# Vapi's messages that want an answer.

CALL = {"id": "v1", "phoneCallProviderId": "CA1", "transport": {"sipHeaders": {"x-callsid": "CA1"}}}
FUNCTION = {"name": "stop_analysis", "arguments": '{"a": 1}'}
ASKING = [
    {"message": {"type": "tool-calls", "call": CALL, "toolCallList": [{"id": "t1", "function": FUNCTION}]}},
    {"message": {"type": "tool-calls", "call": CALL, "toolCalls": [{"id": "t", "name": "stop_analysis"}] * 40}},
    {"message": {"type": "assistant-request", "call": CALL, "customer": {"number": "+15550100001"}}},
    {"message": {"type": "transfer-destination-request", "call": CALL, "destination": {"sipUri": "sip:a@b"}}},
    {"message": {"type": "transcript", "role": "user", "transcript": "x" * 9000, "transcriptType": "final"}},
]


@bounded
@given(bodies(ASKING))
@example(b'{"message":{"type":"tool-calls","toolCallList":[{"id":"a","name":"b","arguments":"' + b"[" * 9000 + b'"}]}}')
def test_a_message_that_wants_an_answer_gets_one_or_is_refused(body: bytes) -> None:
    try:
        message = read_message(body)
    except BadMessage as refused:
        in_one_sentence(refused)
        return
    assert len(message.tool_calls) <= MOST_TOOL_CALLS
    assert message.text is None or len(message.text) <= LONGEST_SPEECH
    told = answer(None, message, Settings(transfer_to="+15550100100"))
    assert (told is not None) == (message.type in ANSWERS)
    if told is not None and "results" in told:
        lines = [result.get("result") or result.get("error") for result in told["results"]]
        assert all(line and "\n" not in line for line in lines)
    msgspec.json.encode(told)


# The gateway.

MESSAGES: list[dict[str, Any]] = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Well?"}]
CHATS = [
    {"model": "m", "messages": MESSAGES, "call": CALL, "metadata": {"callSid": "CA1"}, "temperature": 1e-7},
    {"messages": [*MESSAGES, {"role": "tool", "tool_call_id": "t1", "content": "1"}], "call": None, "tools": []},
]


@bounded
@given(bodies(CHATS))
@example(b'{"messages":' + b"[" * 100_000)
@example(b'{"messages":[],"\\u0063all":{"id":"v1"},"call":1}')
@example(b'{"messages":"\xff\xfe"}')
def test_what_goes_to_the_model_is_what_came_without_who_calls(body: bytes) -> None:
    try:
        chat = read_request(body)
        outgoing = chat.forwarded(note="Caller state: angry.", model="other")
    except BadRequest as refused:
        in_one_sentence(refused)
        return
    try:
        sent = json.loads(outgoing)
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            json.loads(body)  # what is not quite JSON stays so, and the model may say it
        return
    assert not {"call", "phoneNumber", "customer", "metadata"} & sent.keys()
    assert sent["model"] == "other"
    before = json.loads(body).get("messages")
    if isinstance(before, list) and sent["messages"] != before:
        [note] = [
            place for place, said in enumerate(sent["messages"]) if place >= len(before) or said != before[place]
        ][:1]
        assert sent["messages"][note] == {"role": "system", "content": "Caller state: angry."}
        assert sent["messages"][:note] + sent["messages"][note + 1 :] == before


# Rules.

RULES = [
    b'[[rule]]\nname = "a"\nemotions = ["angry"]\nat_least = 0.8\nfor_s = 1\ntrend = "rising"\ncooldown_s = 9\n'
    b'do = ["interrupt", "context:x", "transfer"]\nsay = "Sorry."\n\n'
    b'[context]\nx = "{emotion} ({score:.2f}, {trend})"\n',
    b'[context]\nx = """\n{{a}} {score:>8.3f}\n"""\n',
]
ODD = [b"0x" + b"f" * 5000, b"{score.real}", b"{score!r}", b"{0}", b"{}", b"{score:{trend}}", b"a." * 3000 + b"a=1\n"]
ODD += [b"[" * 3000, b"nan", b"-inf", b'"""', b"1979-05-27", b"{score:99.99e}", b"\\u0000", b"{emotion:.0%}"]


def edited(data: bytes, odd: bytes, at: int) -> bytes:
    at %= len(data) + 1
    return data[:at] + odd + data[at:]


@settings(max_examples=300, deadline=None)
@given(st.one_of(damaged(RULES), st.builds(edited, st.sampled_from(RULES), st.sampled_from(ODD), st.integers(0, 500))))
@example(RULES[0] + b"\n[[rule]]\nname='b'\nemotions=['sad']\ndo=['transfer']\ncooldown_s=0x" + b"f" * 5000)
@example(RULES[0].replace(b"cooldown_s = 9", b"cooldown_s" + b".a" * 3000 + b" = 1"))
def test_a_rules_file_is_read_or_refused_in_a_sentence(data: bytes) -> None:
    try:
        book = parse(data.decode("utf-8", "replace"), act_at=0.85, file="rules.toml")
    except ConfigError as refused:
        a_sentence(refused, "rules.toml line ")
        return
    assert isinstance(book, RuleBook)
    for template in book.templates.values():
        for emotion in (Emotion("angry", 1.0), Emotion("é" * 32, 0.0)):
            filled = template.fill(Mood(emotion, Trend.RISING, 3, 0.0))
            assert len(filled) < 100 * TEXT_AT_MOST


# What Vapi's listen socket says.

SHAPES = [{"type": "start", "sampleRate": 16000, "channels": 2}, {"sampleRate": 8000}, {"channels": 1}]
pieces = st.one_of(
    bodies(SHAPES).map(lambda body: body.decode("utf-8", "replace")), st.binary(max_size=3000), st.just(b"\x01" * 4097)
)


@bounded
@given(st.lists(pieces, max_size=12))
def test_whatever_is_heard_on_a_listen_socket_becomes_frames_or_is_refused(messages: list[str | bytes]) -> None:
    audio, media_ms = ListenedAudio(ListenShape()), -20
    for message in messages:
        try:
            frames = audio.feed(message, 0.0)
        except BadMessage as refused:
            in_one_sentence(refused)
            continue
        for frame in frames:
            assert len(frame.payload) == 160
            assert frame.media_ms == media_ms + 20
            media_ms = frame.media_ms


def test_a_socket_that_changes_its_shape_for_ever_is_refused() -> None:
    audio = ListenedAudio(ListenShape())
    for number in range(MOST_SHAPES):
        audio.feed(json.dumps({"sampleRate": 8001 + number}), 0.0)
    with pytest.raises(BadMessage, match="again and again"):
        audio.feed(json.dumps({"sampleRate": 44_100}), 0.0)


# What engines say.

HUME: list[dict[str, Any]] = [
    {
        "type": "measurement.result",
        "audio_start_ms": 0,
        "audio_end_ms": 3000,
        "expressions": [{"name": "anger", "probability": 0.9}],
    },
    {"type": "error", "code": "rate_limited", "message": "m"},
    {"type": "session.closed", "reason": "server_shutdown"},
    {"type": "session.created"},
]
ORUK: list[dict[str, Any]] = [
    {
        "type": "conversation.item.input_audio_emotion.completed",
        "start": 0.5,
        "end": 2.5,
        "emotions": [{"label": "anger", "score": 0.9}],
    },
    {"type": "error", "error": {"code": "rate_limited", "message": "m"}},
]
EXPRESSIONS = load()


@bounded
@given(st.one_of(bodies(HUME), bodies(ORUK)), st.booleans())
@example(b'{"type":"conversation.item.input_audio_emotion.completed","start":0,"end":1e308}', True)
@example(b'{"type":"measurement.result","audio_start_ms":' + b"9" * 19 + b',"audio_end_ms":0}', False)
@example(b"[" * 100_000, True)
def test_whatever_an_engine_says_becomes_facts_or_nothing(body: bytes, as_text: bool) -> None:
    message: str | bytes = body.decode("utf-8", "replace") if as_text else body
    for dialect in (HumeDialect(EXPRESSIONS, 3000), OrukDialect(EXPRESSIONS)):
        for fact in list(dialect.feed(message)):
            if isinstance(fact, Measured):
                assert set(fact.scores) == set(LABELS)
                assert all(0 <= score <= 1 and math.isfinite(score) for score in fact.scores.values())
            elif isinstance(fact, Over):
                assert len(str(fact.error)) < 200
        assert str(dialect.closed(1006)).isprintable()


@pytest.mark.parametrize("make", [lambda: HumeDialect(EXPRESSIONS, 3000), lambda: OrukDialect(EXPRESSIONS)])
def test_an_engine_cannot_have_us_repeat_our_own_key(make: Callable[[], HumeDialect | OrukDialect]) -> None:
    key = "hk-0123456789abcdef"
    for said in (
        {"type": "error", "code": key, "error": {"code": key}},
        {"type": "session.closed", "reason": key},
    ):
        dialect = make()
        facts = [str(fact) for fact in dialect.feed(json.dumps(said))]
        assert key not in str(facts) + str(dialect.closed(1008))


def test_names_of_any_length_are_not_remembered() -> None:
    expressions = load()
    for number in range(50):
        assert expressions.label_of(f"{number}" + "x" * 100_000) is None
    assert sum(map(len, expressions._known)) < 10_000


# Addresses and destinations.

ADDRESSES = ["wss://a.vapi.ai/x?y=z", "wss://phone-1.vapi.ai:443/call/listen", "ws://127.0.0.1:9/x", "wss://b.vapi.ai"]
PARTS = st.sampled_from(
    ["@", "\\", "#", "?", "/", "//", ":", ":80", "[", "]", "%2f", "%00", "。", ".", "\t", "é", "vapi.ai"]
)


@st.composite
def addresses(draw: st.DrawFn) -> str:
    address = draw(st.sampled_from(ADDRESSES))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(address)))
        address = address[:at] + draw(st.one_of(PARTS, st.text(max_size=3))) + address[at:]
    return address


@settings(max_examples=600, deadline=None)
@given(addresses())
def test_a_socket_address_leads_for_whoever_dials_where_it_led_for_whoever_checked(address: str) -> None:
    """Two readers of addresses are at work: httpx's checks, and urllib's dials."""
    try:
        checked = checked_socket_url(address, ())
    except BadControlUrl as refused:
        a_sentence(refused)
        return
    parts = urlsplit(checked)
    assert parts.scheme == "wss"
    assert (parts.hostname or "").endswith(".vapi.ai")
    assert parts.port in (None, 443)
    assert parts.username is None
    assert checked.isascii()
    assert checked.isprintable()
    assert " " not in checked


@bounded
@given(st.text(max_size=30).map(lambda tail: f"sip:a@b{tail}") | st.text(max_size=20).map(lambda tail: f"+1555{tail}"))
@example("sip:a@b?x-a=1%0d%0aX-Planted=1")
@example("+15550100100\n")
def test_a_destination_is_a_number_or_an_address_and_nothing_more(text: str) -> None:
    try:
        checked = checked_destination(text)
    except AssistantRefused as refused:
        a_sentence(refused, without=text if len(text) > 5 else "")
        return
    assert checked.isascii()
    assert checked.isprintable()
    assert not set(checked) & set("<>\"' ")
    assert "%0" not in checked.lower()
    assert "%1" not in checked.lower()


# `.env`.


@bounded
@given(st.text(max_size=30))
@example("x\u2028TWILIO_BASE_URL=http://evil.example")
@example("x\x85LLM_BASE_URL=http://evil.example")
@example('"; rm -rf / #')
def test_a_value_written_to_env_is_read_back_as_it_is_or_never_written(tmp_path_factory: Any, value: str) -> None:
    file: Path = tmp_path_factory.getbasetemp() / "fuzzed.env"
    value = value.strip()
    try:
        text = with_values("", {"LLM_MODEL": value})
    except ConfigError as refused:
        a_sentence(refused)
        return
    try:
        file.write_text(text, "utf-8")
    except UnicodeEncodeError:
        return  # half a surrogate pair
    assert read_dotenv(file) == {"LLM_MODEL": value}


def test_frames_of_a_listen_socket_carry_sound_and_not_its_position() -> None:
    """What was left of an odd message is of the same sample, whatever is told in between."""
    audio = ListenedAudio(ListenShape(sample_rate=8000, channels=1))
    pcm = np.arange(320, dtype="<i2").tobytes()
    whole = ListenedAudio(ListenShape(sample_rate=8000, channels=1)).feed(pcm, 0.0)
    split = [*audio.feed(pcm[:101], 0.0), *audio.feed("{}", 0.0), *audio.feed(pcm[101:], 0.0)]
    assert [frame.payload for frame in split] == [frame.payload for frame in whole]
