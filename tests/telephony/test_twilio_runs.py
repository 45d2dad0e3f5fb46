"""Frames read in a run, against the same messages read one by one: nobody can tell the difference."""

import base64
import json
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.core.audio import MediaFrame
from agent.errors import BadMessage
from agent.telephony import wire
from agent.telephony.twilio import Event, MediaStream

STREAM, OTHER = "MZ18aa27bb36cc45dd18aa27bb36cc45dd", "MZ99"
START = json.dumps(
    {
        "event": "start",
        "sequenceNumber": "1",
        "streamSid": STREAM,
        "start": {
            "streamSid": STREAM,
            "callSid": "CA1",
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        },
    }
)


def media(
    number: object,
    timestamp: object,
    *,
    stream_sid: object = STREAM,
    track: object = "inbound",
    payload: object = "f/8=",
    **more: object,
) -> str:
    body = {"track": track, "timestamp": timestamp, "payload": payload, **more}
    return json.dumps({"event": "media", "sequenceNumber": number, "media": body, "streamSid": stream_sid})


Outcome = list[Event | str]


def one_by_one(stream: MediaStream, messages: Sequence[str]) -> Outcome:
    said: Outcome = []
    for message in messages:
        try:
            said.append(stream.feed(message, 1.5))
        except BadMessage as error:
            said.append(str(error))
    return said


def in_runs(stream: MediaStream, messages: Sequence[str]) -> Outcome:
    said: Outcome = []
    while len(said) < len(messages):
        said += stream.run_of_frames(messages[len(said) :], 1.5)
        said += one_by_one(stream, messages[len(said) :][:1])
    return said


counters = st.one_of(
    st.integers(-1, 30),
    st.integers(0, 30).map(str),
    st.integers(0, 30).map("{:04}".format),
    st.sampled_from([2**53 - 1, 2**53, str(2**53 - 1), str(2**53), "9" * 16, "1" * 17, 10**20, 7.0, 7.5, True, None]),
    st.sampled_from(
        ["", " 7", "7 ", "+7", "-7", "7.0", "7e0", "1_0", "\u0667", "\u00b2", "0x7", "7\x00", [], "\ud800"]
    ),
)
payloads = st.one_of(
    st.binary(max_size=200).map(lambda sound: base64.b64encode(sound).decode()),
    st.sampled_from(["", "f/8", "f/8=\n", "f_8=", "\ud800", 7, None, base64.b64encode(bytes(8001)).decode()]),
)
frames = st.builds(
    media,
    counters,
    counters,
    stream_sid=st.sampled_from([STREAM] * 8 + [OTHER, None, 7]),
    track=st.sampled_from(["inbound"] * 8 + ["outbound", "both", None]),
    payload=payloads,
    chunk=counters,
)
steps = st.builds(
    lambda number, skip: media(str(number), str(20 * number), chunk=str(number + skip)),
    st.integers(2, 30),
    st.integers(0, 3),
)
others = st.one_of(
    st.sampled_from(
        [START, "", "{}", "[]", "null", '{"event":"media"}', '{"event":"new"}', "x" * (wire.MAX_MESSAGE + 1)]
    ),
    st.builds(
        lambda number: json.dumps(
            {"event": "mark", "sequenceNumber": number, "streamSid": STREAM, "mark": {"name": "m"}}
        ),
        counters,
    ),
    st.sampled_from([STREAM, OTHER]).map(lambda sid: json.dumps({"event": "stop", "streamSid": sid})),
    st.sampled_from(["media", "stop"]).map(
        lambda event: '{"event":"stop",' + media("9", "180")[1:].replace("media", event, 1)
    ),
    st.just(media("9", "180").replace('"event": "media", ', "")),
)
orderly = st.lists(st.integers(0, 3), max_size=12).map(
    lambda skips: [media(str(2 + n + sum(skips[:n])), str(20 * (n + sum(skips[:n])))) for n in range(len(skips))]
)


@given(st.booleans(), orderly, st.lists(st.one_of(steps, steps, frames, others), max_size=10))
@example(begun=True, first=[media("2", "0")], then=[media("3", "7.0"), media("3", "20")])
def test_in_a_run_every_message_says_what_it_says_alone_and_leaves_the_stream_as_it_would(
    begun: bool, first: list[str], then: list[str]
) -> None:
    messages = [START] * begun + first + then
    assert in_runs(MediaStream(), messages) == one_by_one(MediaStream(), messages)


def test_all_of_an_orderly_stream_is_one_run_from_its_second_frame_on() -> None:
    stream = MediaStream()
    stream.feed(START, 0.0)
    assert stream.run_of_frames([media("2", "0")], 0.0) == [], "the first frame says where the clock begins"
    assert stream.feed(media("2", "400"), 0.0) == MediaFrame(2, 0, b"\x7f\xff", 0.0)
    run = stream.run_of_frames([media(str(3 + n), str(420 + 20 * n)) for n in range(9)], 7.5)
    assert run == [MediaFrame(3 + n, 20 + 20 * n, b"\x7f\xff", 7.5) for n in range(9)]


@pytest.mark.parametrize("last", [2**53 - 1 - skip for skip in range(4)])
@pytest.mark.parametrize("least", ["number", "timestamp"])
def test_counters_end_where_they_end_alone(last: int, least: str) -> None:
    """What is expected next is not taken for what may come."""
    number, timestamp = (last - 3, 0) if least == "number" else (2, last - 60)
    messages = [START, *(media(str(number + n), str(timestamp + 20 * n)) for n in range(8))]
    alone = one_by_one(MediaStream(), messages)
    assert in_runs(MediaStream(), messages) == alone
    assert isinstance(alone[-1], str), "beyond the limit nothing is a counter"


@pytest.mark.parametrize(
    "odd",
    [
        media("4", "40", stream_sid=OTHER),
        media("3", "40"),
        media("4", "10"),
        media("4", "40", track="outbound"),
        media("4", str(2**53)),
        media(str(2**53), "40"),
        media("\u0664", "40"),
        media("4", "40", payload="f_8="),
        json.dumps({"event": "dtmf", "sequenceNumber": "4", "streamSid": STREAM, "dtmf": {"digit": "9"}}),
        json.dumps({"event": "stop", "streamSid": STREAM}),
        "no JSON",
    ],
)
def test_a_run_ends_before_the_first_message_that_is_anything_else(odd: str) -> None:
    stream = MediaStream()
    one_by_one(stream, [START, media("2", "0")])
    run = stream.run_of_frames([media("3", "20"), odd, media("5", "60")], 0.0)
    assert [frame.sequence for frame in run] == [3]
