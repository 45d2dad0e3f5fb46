"""Anything at all into what reads strangers' bytes: it is parsed or refused, and nothing else happens.

The inputs are mostly good ones with something wrong, because what is nothing but noise is refused at its first byte.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import h11
import msgspec
import numpy as np
import pytest
import trio
import trio.testing
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from agent.assistants.vapi import BadControlUrl, checked_control_url
from agent.assistants.vapi_messages import ServerMessage, read_message
from agent.core.assembly import MAX_GAP_MS, Assembler
from agent.core.audio import SAMPLES_PER_MS, Block, Gap, MediaFrame
from agent.errors import BadMessage, BadRequest
from agent.ingress.request import HEAD_LIMIT, read_head, rewritten
from agent.telephony.signature import parse_form
from agent.telephony.twilio import LineStarted, MediaStream
from agent.telephony.twiml import StreamPlan
from agent.telephony.wire import MAX_PAYLOAD
from agent.testing import twilio_messages as messages
from agent.web.readings import read_outside

bounded = settings(max_examples=150, deadline=None)


def in_one_sentence(refusal: BadMessage | BadRequest) -> None:
    assert len(str(refusal).splitlines()) == 1
    assert getattr(refusal, "status", 400) == 400


# What goes wrong on the way.

WORDS = [b"\x00", b"\xff", b"\xed\xa0\x80", b"\\ud800", b'"', b"{", b"]", b"-1", b"1e999", b"NaN", b"9" * 400, b"null"]
WORDS += [b"\r\n", b"\n", b"\n\n", b"\r\n\r\n", b": ", b" ", b"\t", b"%00", b"&", b"=", b"Connection: keep-alive\r\n"]


@st.composite
def damaged(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """A good one, cut, doubled, and with words put where they do not belong."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        to = draw(st.integers(at, min(len(data), at + 40)))
        word = draw(st.one_of(st.sampled_from(WORDS), st.binary(max_size=4), st.just(data[at:to])))
        data = data[:at] + word + data[draw(st.sampled_from([at, to])) :]
    return data


def strange(leaf: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Any JSON, shallow."""
    return st.recursive(
        leaf,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=6,
    )


anything = strange(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20))


@st.composite
def swapped(draw: st.DrawFn, seeds: Sequence[Any]) -> bytes:
    """A good JSON document in which one value, anywhere, is another."""
    document = json.loads(json.dumps(draw(st.sampled_from(seeds))))
    place = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or not place[key] or draw(st.booleans()):
            break
        place = place[key]
    place[key] = draw(anything)
    return json.dumps(document).encode("utf-8", "surrogatepass")


# The media codec, and what is built on it.

WHO = messages.Identity("AC" + "0" * 32, "CA" + "1" * 32, "+15550100001", "+15550100100")
PLAN = StreamPlan("wss://a.example/audio-stream/CA1", {"callSid": WHO.call_sid, "token": "t" * 32}, None, "Connect")
STREAM = "MZ" + "2" * 32
CONVERSATION = [
    messages.CONNECTED,
    messages.start(WHO, PLAN, STREAM, 1),
    *[messages.media(STREAM, place, place, 20 * place, bytes(range(160))) for place in range(2, 8)],
    messages.mark(STREAM, 8, "m"),
    messages.dtmf(STREAM, 9, "5"),
    messages.stop(WHO, STREAM, 10),
]
SPOKEN = [text.encode() for text in CONVERSATION]
said = st.lists(
    st.one_of(st.sampled_from(SPOKEN), damaged(SPOKEN), swapped([json.loads(text) for text in SPOKEN])), max_size=12
)


@bounded
@given(said)
def test_whatever_a_line_says_becomes_sound_of_its_own_length_or_is_refused(said: list[bytes]) -> None:
    stream, assembler, frames = MediaStream(), Assembler(), list[MediaFrame]()
    for message in [SPOKEN[1], *said]:
        try:
            event = stream.feed(message.decode("utf-8", "replace"), 0.0)
        except BadMessage as refused:
            in_one_sentence(refused)
            continue
        if isinstance(event, MediaFrame):
            assert 0 < len(event.payload) <= MAX_PAYLOAD
            assert not frames or (event.sequence > frames[-1].sequence and event.media_ms >= frames[-1].media_ms)
            frames.append(event)
        elif isinstance(event, LineStarted):
            assert event.call_sid.isascii()
            assert event.call_sid.isprintable()
    heard_ms = 0
    for frame in frames:
        for sound in assembler.push(Block((frame,), 1)):
            if isinstance(sound, Gap):
                assert 0 < sound.ms <= MAX_GAP_MS
                heard_ms += sound.ms
            else:
                assert sound.samples.dtype == np.int16
                heard_ms += len(sound.samples) // SAMPLES_PER_MS
    assert heard_ms <= len(frames) * (MAX_GAP_MS + MAX_PAYLOAD // SAMPLES_PER_MS)


# Webhook bodies.

VAPI = [
    {
        "message": {
            "type": kind,
            "status": "started",
            "role": "assistant",
            "call": {
                "id": "v1",
                "phoneCallProviderId": "CA1",
                "transport": {"callSid": "CA1"},
                "monitor": {"controlUrl": "https://phone.vapi.ai/v1/control"},
            },
        }
    }
    for kind in ("status-update", "speech-update")
]
READING = [{"callSid": "CA1", "emotion": {"label": "angry", "score": 0.9}, "timestamp": 1.0}]
FORM = [b"CallSid=CA1&From=%2B15550100001&Blank=&Space=+a+&CallStatus=ringing"]


def bodies(seeds: list[Any]) -> st.SearchStrategy[bytes]:
    whole = [json.dumps(seed).encode() for seed in seeds]
    return st.one_of(damaged(whole), swapped(seeds), st.binary(max_size=60), anything.map(dumped))


def dumped(document: Any) -> bytes:
    return json.dumps(document).encode("utf-8", "surrogatepass")


@bounded
@given(bodies(VAPI))
@example(b'{"message":' + b"[" * 100_000)
@example(b'{"message":{"type":"a","call":' + b'{"a":' * 50_000)
def test_a_server_message_is_read_or_refused(body: bytes) -> None:
    try:
        message = read_message(body)
    except BadMessage as refused:
        in_one_sentence(refused)
        return
    assert isinstance(message, ServerMessage)
    for text in (message.status, message.role, message.vapi_call_id, message.control_url, *message.call_sids):
        assert text is None or 0 < len(text) <= 2048
        msgspec.json.encode(text)  # whatever is kept can be written down
    try:
        checked = checked_control_url(message.control_url or "")
    except BadControlUrl:
        return
    assert checked.startswith("https://")


@bounded
@given(bodies(READING))
@example(b'{"callSid":"CA1","emotion":{"label":"\\ud800","score":1}}')
def test_a_reading_from_outside_is_read_or_refused(body: bytes) -> None:
    try:
        reading = read_outside(body)
    except BadRequest as refused:
        in_one_sentence(refused)
        return
    assert 0 <= reading.emotion.score <= 1
    assert reading.emotion.label.isprintable()
    assert len(reading.emotion.label) <= 32
    msgspec.json.encode({"callSid": reading.callSid, "label": reading.emotion.label})


@bounded
@given(st.one_of(damaged(FORM), st.binary(max_size=60)))
def test_a_form_is_read_or_refused(body: bytes) -> None:
    try:
        fields = parse_form(body)
    except BadRequest as refused:
        in_one_sentence(refused)
        return
    for name, value in fields:
        (name + value).encode()  # all of it is Unicode, and can be signed


# The door's reader of heads.

HEADS = [
    b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /webhook/vapi?a=%20 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nX-Vapi-Secret: s\r\n\r\n{}",
    b"GET /events HTTP/1.0\r\nConnection: keep-alive, Upgrade\r\nUpgrade: h2c\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX: a\r\n b\r\n\r\n1\r\nx\r\n0\r\n\r\n",
]
heads = st.one_of(damaged(HEADS), st.binary(max_size=80).map(lambda tail: HEADS[0][:-2] + tail + b"\r\n\r\n"))

Cut = Callable[[bytes], list[bytes]]


def whole(data: bytes) -> list[bytes]:
    return [data]


def byte_by_byte(data: bytes) -> list[bytes]:
    return [data[place : place + 1] for place in range(len(data))]


async def read(data: bytes, cut: Cut) -> tuple[bytes, bytes]:
    """The head that the door finds in this, and everything behind it."""
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:

        async def send() -> None:
            for piece in cut(data):
                await ours.send_all(piece)
            await ours.send_eof()

        nursery.start_soon(send)
        head, rest = await read_head(theirs, bytearray())
        while head and (piece := await theirs.receive_some(1000)):
            rest += piece
        nursery.cancel_scope.cancel()
    return head, rest


@bounded
@given(heads)
def test_a_head_is_the_same_however_it_comes(data: bytes) -> None:
    at_once, in_pieces = trio.run(read, data, whole), trio.run(read, data, byte_by_byte)
    assert at_once == in_pieces
    head, rest = at_once
    assert not head or head + rest == data


@bounded
@given(st.integers(0, 3 * HEAD_LIMIT))
def test_a_head_never_outgrows_its_limit(length: int) -> None:
    head, _ = trio.run(read, HEADS[0][:-2] + b"X: " + b"x" * length + b"\r\n\r\n", whole)
    assert len(head) <= HEAD_LIMIT + 4096


@settings(max_examples=400, deadline=None)
@given(heads)
@example(b"GET /healthz HTTP/1.1\nHost: a\n\nGET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
@example(b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\nConnection: keep-alive\r\n\r\n")
@example(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection:\r\n keep-alive\r\n\r\n")
def test_what_stands_behind_the_door_sees_one_request_and_the_same_one(data: bytes) -> None:
    """The door and the server behind it never disagree where a head ends, what it asks for, or that it is the last."""
    head, _ = trio.run(read, data, whole)
    assume(head)
    behind = h11.Connection(h11.SERVER)
    try:
        behind.receive_data(rewritten(head, "192.0.2.7"))
        request = behind.next_event()
        nothing_behind, _ = behind.trailing_data
    except h11.RemoteProtocolError:
        return
    assert isinstance(request, h11.Request), "it takes the head for unfinished"
    assert not nothing_behind, "it takes the head for two"
    method, target, version = head.split(b"\r\n", 1)[0].split(b" ")
    assert (request.method, request.target, b"HTTP/" + request.http_version) == (method, target, version)
    headers = request.headers
    assert [value for name, value in headers if name == b"connection"] == [b"close"]
    assert [value.rpartition(b", ")[2] for name, value in headers if name == b"x-forwarded-for"] == [b"192.0.2.7"]


@pytest.mark.parametrize("cut", [whole, byte_by_byte])
def test_a_good_head_is_found(cut: Cut) -> None:
    for data in HEADS:
        head, rest = trio.run(read, data, cut)
        assert head.endswith(b"\r\n\r\n")
        assert head + rest == data
