"""The media stream codec, against the recorded messages and against whatever else may arrive."""

import base64
import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.audio import MediaFrame
from agent.errors import BadMessage
from agent.telephony import twilio_said
from agent.telephony.twilio import (
    Connected,
    Ignored,
    KeyPressed,
    LineEnded,
    LineStarted,
    MarkPlayed,
    MediaStream,
)

RECORDINGS = Path(__file__).parents[1] / "recordings"
STREAM = "MZ18aa27bb36cc45dd18aa27bb36cc45dd"
CALL = "CAa1b2c3d4e5f60718a1b2c3d4e5f60718"
SILENCE = b"\xff" * 160


def recording(name: str) -> str:
    return (RECORDINGS / f"twilio_{name}.json").read_text()


def started() -> MediaStream:
    stream = MediaStream()
    stream.feed(recording("connected"), 0.0)
    stream.feed(recording("start"), 0.0)
    return stream


def media(
    sequence: int | str, timestamp: int | str, payload: bytes = SILENCE, *, track: str = "inbound", chunk: str = "1"
) -> str:
    body = {"track": track, "chunk": chunk, "timestamp": timestamp, "payload": base64.b64encode(payload).decode()}
    return json.dumps({"event": "media", "sequenceNumber": sequence, "media": body, "streamSid": STREAM})


def changed(name: str, path: str, value: object) -> str:
    """A recorded message with the field at `path` replaced, or taken out when `value` is `...`."""
    message: dict[str, Any] = json.loads(recording(name))
    *parents, last = path.split(".")
    inner = message
    for parent in parents:
        inner = inner[parent]
    if value is ...:
        del inner[last]
    else:
        inner[last] = copy.deepcopy(value)
    return json.dumps(message)


def test_a_recorded_conversation_is_read_from_connected_to_stop() -> None:
    stream = MediaStream()
    assert stream.feed(recording("connected"), 1.0) == Connected()
    assert stream.feed(recording("start"), 1.1) == LineStarted(
        stream_sid=STREAM,
        call_sid=CALL,
        token="one-time-random",
        parameters={"correlationId": "0d5f3c1e-7f1f-4a37-8f3c-2d6d6b0f9a11", "token": "one-time-random"},
        tracks=("inbound",),
    )
    assert stream.feed(recording("media_inbound"), 1.2) == MediaFrame(2, 0, SILENCE, 1.2)
    assert stream.feed(recording("media_outbound_track"), 1.2) == Ignored("media")
    assert stream.feed(recording("mark_from_twilio_bidirectional"), 1.3) == MarkPlayed("m1")
    assert stream.feed(recording("dtmf_bidirectional"), 1.4) == KeyPressed("1")
    assert stream.feed(recording("stop"), 1.5) == LineEnded(STREAM)


def test_the_media_clock_starts_at_the_first_frame_and_follows_the_carriers_timestamps() -> None:
    stream = started()
    frames = [stream.feed(media(n, stamp), 0.0) for n, stamp in ((2, "25"), (3, "45"), (4, "245"))]
    assert [frame.media_ms for frame in frames if isinstance(frame, MediaFrame)] == [0, 20, 220]


def test_the_outbound_track_does_not_set_the_media_clock() -> None:
    stream = started()
    assert stream.feed(media(2, 0, track="outbound"), 0.0) == Ignored("media")
    assert stream.feed(media(3, 500), 0.0) == MediaFrame(3, 0, SILENCE, 0.0)


def test_sequence_numbers_are_compared_as_numbers_and_may_jump() -> None:
    stream = started()
    frames = [stream.feed(media(str(n), str(20 * n)), 0.0) for n in (8, 9, 10, 99, 100)]
    assert [frame.sequence for frame in frames if isinstance(frame, MediaFrame)] == [8, 9, 10, 99, 100]


def test_counters_may_be_numbers() -> None:
    assert started().feed(media(2, 40), 0.0) == MediaFrame(2, 0, SILENCE, 0.0)


@pytest.mark.parametrize("length", [1, 80, 160, 161, 8000])
def test_frames_of_any_length_up_to_a_second_are_taken(length: int) -> None:
    assert started().feed(media(2, 0, bytes(length)), 0.0) == MediaFrame(2, 0, bytes(length), 0.0)


def test_an_event_new_to_us_is_ignored_at_any_time() -> None:
    stream = MediaStream()
    for prepare in ("connected", "start", "media_inbound", "stop"):
        assert stream.feed('{"event": "weather", "sequenceNumber": []}', 0.0) == Ignored("weather")
        stream.feed(recording(prepare), 0.0)
    assert stream.feed('{"event": "weather"}', 0.0) == Ignored("weather")


def test_a_stream_may_begin_without_connected_and_without_parameters() -> None:
    stream = MediaStream()
    event = stream.feed(changed("start", "start.customParameters", ...), 0.0)
    assert isinstance(event, LineStarted)
    assert event.token is None
    assert event.parameters == {}
    with pytest.raises(BadMessage):
        stream.feed(recording("connected"), 0.0)


def test_a_repr_of_the_start_shows_no_token() -> None:
    assert "one-time-random" not in repr(MediaStream().feed(recording("start"), 0.0))


BEFORE_START = {
    "media before start": recording("media_inbound"),
    "mark before start": recording("mark_from_twilio_bidirectional"),
    "stop before start": recording("stop"),
    "no media format": changed("start", "start.mediaFormat", ...),
    "another encoding": changed("start", "start.mediaFormat.encoding", "audio/l16"),
    "another rate": changed("start", "start.mediaFormat.sampleRate", 16000),
    "two channels": changed("start", "start.mediaFormat.channels", 2),
    "no call": changed("start", "start.callSid", ...),
    "a call id with a line break": changed("start", "start.callSid", "CA1\n"),
    "an endless call id": changed("start", "start.callSid", "C" * 65),
    "two streams in one start": changed("start", "start.streamSid", "MZ0"),
    "a parameter that is no string": changed("start", "start.customParameters.token", 5),
    "an unheard-of track": changed("start", "start.tracks", ["sideways"]),
    "a start without a body": changed("start", "start", ...),
    "a start without a number": changed("start", "sequenceNumber", ...),
}

AFTER_START = {
    "a second connected": recording("connected"),
    "a second start": recording("start"),
    "binary": recording("media_inbound").encode(),
    "nothing": "",
    "not JSON": "{'event': 'media'}",
    "cut short": recording("media_inbound")[:200],
    "more than one object": recording("media_inbound") * 2,
    "a list": "[]",
    "a string": '"media"',
    "null": "null",
    "no event": "{}",
    "an event that is a number": '{"event": 5}',
    "an event that is a sentence": '{"event": "drop all tables"}',
    "half a surrogate pair": '{"event": "media", "x": "\ud800"}',
    "an escaped half of a surrogate pair": '{"event": "media", "x": "\\ud800"}',
    "nested without end": '{"event": "media", "x": ' + "[" * 60_000,
    "longer than anything Twilio sends": json.dumps({"event": "weather", "x": "x" * 70_000}),
    "media of another stream": changed("media_inbound", "streamSid", "MZ0"),
    "media of no stream": changed("media_inbound", "streamSid", ...),
    "media without a body": changed("media_inbound", "media", ...),
    "stop of another stream": changed("stop", "streamSid", "MZ0"),
    "no payload": changed("media_inbound", "media.payload", ...),
    "an empty payload": changed("media_inbound", "media.payload", ""),
    "a payload that is no base64": changed("media_inbound", "media.payload", "secret-words!"),
    "a payload without its padding": changed("media_inbound", "media.payload", "/w"),
    "a payload in the URL alphabet": changed("media_inbound", "media.payload", "_w=="),
    "a payload of more than a second": media(2, 0, bytes(8001)),
    "no sequence number": changed("media_inbound", "sequenceNumber", ...),
    "a negative sequence number": changed("media_inbound", "sequenceNumber", "-2"),
    "a sequence number with a sign": changed("media_inbound", "sequenceNumber", "+2"),
    "a sequence number with an exponent": changed("media_inbound", "sequenceNumber", "1e3"),
    "a sequence number in other digits": changed("media_inbound", "sequenceNumber", "٣"),
    "an empty sequence number": changed("media_inbound", "sequenceNumber", ""),
    "a fractional sequence number": changed("media_inbound", "sequenceNumber", 2.5),
    "a sequence number that is true": changed("media_inbound", "sequenceNumber", True),
    "a sequence number of 2**53": changed("media_inbound", "sequenceNumber", str(2**53)),
    "a number of 2**53": changed("media_inbound", "sequenceNumber", 2**53),
    "a sequence number of thousands of digits": changed("media_inbound", "sequenceNumber", "9" * 5000),
    "no timestamp": changed("media_inbound", "media.timestamp", ...),
    "a timestamp that is a word": changed("media_inbound", "media.timestamp", "soon"),
    "a negative timestamp": changed("media_inbound", "media.timestamp", -20),
    "a chunk that is a word": changed("media_inbound", "media.chunk", "first"),
    "an unheard-of media track": changed("media_inbound", "media.track", "sideways"),
    "a repeated sequence number": media(1, 0),
    "a sequence number from the past": media(0, 0),
    "a repeated mark": changed("mark_from_twilio_bidirectional", "sequenceNumber", "1"),
    "a mark without a name": changed("mark_from_twilio_bidirectional", "mark.name", ...),
    "a key no telephone has": changed("dtmf_bidirectional", "dtmf.digit", "w"),
    "two keys at once": changed("dtmf_bidirectional", "dtmf.digit", "12"),
}


@pytest.mark.parametrize("message", BEFORE_START.values(), ids=BEFORE_START.keys())
def test_a_bad_beginning_is_refused_and_a_good_one_still_possible(message: str) -> None:
    stream = MediaStream()
    stream.feed(recording("connected"), 0.0)
    with pytest.raises(BadMessage):
        stream.feed(message, 0.0)
    assert isinstance(stream.feed(recording("start"), 0.0), LineStarted)


@pytest.mark.parametrize("message", AFTER_START.values(), ids=AFTER_START.keys())
def test_a_bad_message_is_refused_in_one_sentence_and_changes_nothing(message: str | bytes) -> None:
    stream = started()
    with pytest.raises(BadMessage) as refused:
        stream.feed(message, 0.0)
    sentence = str(refused.value)
    assert sentence.endswith(".")
    assert len(sentence) < 100
    assert "secret-words" not in sentence
    assert refused.value.__cause__ is None
    assert stream.feed(recording("media_inbound"), 0.0) == MediaFrame(2, 0, SILENCE, 0.0)


@pytest.mark.parametrize("sequence", ["2", "3"])
def test_a_repeated_or_older_frame_is_refused(sequence: str) -> None:
    stream = started()
    stream.feed(media(3, 0), 0.0)
    with pytest.raises(BadMessage, match="repeated or out of order"):
        stream.feed(media(sequence, 20), 0.0)


@pytest.mark.parametrize("now", [0, 40, 3_600_000])
def test_a_clock_that_falls_back_goes_on_from_where_the_call_is(now: int) -> None:
    stream = started()
    stream.feed(media(2, 40), 0.0)
    assert stream.feed(media(3, 3_700_000), 0.0) == MediaFrame(3, 3_699_960, SILENCE, 0.0)
    assert stream.feed(media(4, now), 0.0) == MediaFrame(4, 3_699_980, SILENCE, 0.0)
    assert stream.feed(media(5, now + 20), 0.0) == MediaFrame(5, 3_700_000, SILENCE, 0.0)
    with pytest.raises(BadMessage, match="repeated or out of order"):
        stream.feed(media(4, now + 40), 0.0)


@pytest.mark.parametrize("late", ["connected", "start", "media_inbound", "stop"])
def test_nothing_but_the_unknown_comes_after_stop(late: str) -> None:
    stream = started()
    stream.feed(recording("stop"), 0.0)
    with pytest.raises(BadMessage):
        stream.feed(recording(late), 0.0)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([STREAM, "2", "inbound"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
fields = st.sampled_from(["event", "sequenceNumber", "streamSid", "start", "media", "mark", "dtmf", "stop"])
names = st.sampled_from(["connected", "start", "media", "mark", "dtmf", "stop"])
almost = st.builds(lambda name, rest: json.dumps(rest | {"event": name}), names, st.dictionaries(fields, junk))
damaged = st.builds(
    changed,
    st.sampled_from(["start", "media_inbound", "stop"]),
    st.sampled_from(["event", "sequenceNumber", "streamSid"]),
    junk,
)
damaged_media = st.builds(
    lambda key, value: changed("media_inbound", f"media.{key}", value),
    st.sampled_from(["track", "chunk", "timestamp", "payload", "more"]),
    junk,
)
anything = (
    st.text()
    | st.text().map(lambda text: f"\ud800{text}")
    | st.binary()
    | junk.map(json.dumps)
    | almost
    | damaged
    | damaged_media
)


@given(st.lists(anything, max_size=8), st.booleans())
def test_whatever_arrives_is_read_or_refused_and_never_anything_else(messages: list[str | bytes], begun: bool) -> None:
    stream = started() if begun else MediaStream()
    last = (-1, -1)
    for message in messages:
        try:
            event = stream.feed(message, 0.0)
        except BadMessage:
            continue
        if isinstance(event, MediaFrame):
            assert event.sequence > last[0]
            assert event.media_ms >= max(0, last[1])
            assert 1 <= len(event.payload) <= 8000
            last = (event.sequence, event.media_ms)


def test_what_we_send_is_what_the_vendor_documents_and_nothing_more() -> None:
    assert json.loads(twilio_said.clear(STREAM)) == json.loads(recording("send_clear_bidirectional"))
    assert json.loads(twilio_said.mark(STREAM, "m1")) == json.loads(recording("send_mark_bidirectional"))
    assert json.loads(twilio_said.media(STREAM, SILENCE)) == json.loads(recording("send_media_bidirectional"))


@given(st.binary(min_size=1, max_size=2000), st.text(min_size=1))
def test_any_audio_and_any_mark_survive_the_way_out(payload: bytes, name: str) -> None:
    assert base64.b64decode(json.loads(twilio_said.media(STREAM, payload))["media"]["payload"]) == payload
    assert json.loads(twilio_said.mark(STREAM, name))["mark"]["name"] == name
