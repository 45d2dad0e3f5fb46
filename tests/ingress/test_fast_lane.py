"""The fast lane and what takes over from it, against wsproto alone: whatever comes, in whatever pieces."""

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from agent.ingress.frames import Frames
from agent.ingress.protocol import MESSAGE_LIMIT, TOO_BIG, Protocol

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
MEDIA = b'{"event":"media","sequenceNumber":"4","media":{"payload":"' + b"f/9/" * 53 + b'"},"streamSid":"MZ1"}'


def length_of(size: int, bits: int) -> bytes:
    if bits == 7:
        return bytes([size])
    return bytes([126]) + struct.pack("!H", size) if bits == 16 else bytes([127]) + struct.pack("!Q", size)


def shortest(size: int) -> int:
    return 7 if size < 126 else 16 if size < 1 << 16 else 64


def frame(
    opcode: int,
    payload: bytes,
    *,
    mask: bytes | None = b"\x81\xfe\x00\x7f",
    final: bool = True,
    reserved: int = 0,
    bits: int | None = None,
) -> bytes:
    """One frame, right or wrong; `bits`: in how many its length is said."""
    head = bytearray(length_of(len(payload), bits or shortest(len(payload))))
    first = bytes([final << 7 | reserved << 4 | opcode])
    if mask is None:
        return first + bytes(head) + payload
    head[0] |= 0x80
    return first + bytes(head) + mask + bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))


def by_wsproto(stream: bytes) -> tuple[list[str | bytes], list[bytes], int | None]:
    """What wsproto alone makes of it, all at once: messages, pings, and the code of the end."""
    connection = Connection(ConnectionType.SERVER)
    connection.receive_data(stream)
    messages: list[str | bytes] = []
    parts: list[str | bytes] = []
    pings: list[bytes] = []
    for event in connection.events():
        if isinstance(event, TextMessage | BytesMessage):
            parts.append(event.data if isinstance(event.data, str) else bytes(event.data))
            if sum(map(len, parts)) > MESSAGE_LIMIT:
                return messages, pings, TOO_BIG
            if event.message_finished:
                empty: str | bytes = "" if isinstance(parts[0], str) else b""
                messages.append(empty.join(parts))  # type: ignore[arg-type]
                parts = []
        elif isinstance(event, Ping):
            pings.append(bytes(event.payload))
        elif isinstance(event, CloseConnection):
            return messages, pings, int(event.code)
    return messages, pings, None


def by_both(pieces: list[bytes]) -> tuple[list[str | bytes], list[bytes], int | None]:
    """What the fast lane makes of it, and behind its end the full protocol."""
    lane, protocol = Frames(), Protocol()
    messages: list[str | bytes] = []
    for piece in pieces:
        if lane.ended:
            messages += protocol.feed(piece)
            continue
        messages += lane.feed(piece)
        if lane.ended:
            messages += protocol.feed(lane.rest)
    return messages, pongs(protocol.take_answers()), protocol.ended.code if protocol.ended else None


def pongs(answers: bytes) -> list[bytes]:
    found = []
    while answers:
        opcode, size = answers[0] & 15, answers[1]
        if opcode == PONG:
            found.append(answers[2 : 2 + size])
        answers = answers[2 + size :]
    return found


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    marks = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[one:next_] for one, next_ in pairwise(marks)]


masks = st.binary(min_size=4, max_size=4)
payloads = st.one_of(
    st.just(MEDIA),
    st.binary(max_size=12),
    st.text(max_size=60).map(str.encode),
    st.sampled_from([0, 1, 2, 3, 125, 126, 127, 1020, 1021, 1022, 1023, 1024, 1025]).map(b"x".__mul__),
)
plain = st.builds(frame, st.just(TEXT), payloads, mask=masks)
odd = st.one_of(
    st.builds(frame, st.sampled_from([TEXT, 0, BINARY]), payloads, mask=masks, final=st.booleans()),
    st.builds(frame, st.sampled_from([PING, PONG]), st.binary(max_size=125), mask=masks),
    st.builds(frame, st.integers(0, 15), payloads, mask=st.none() | masks, reserved=st.integers(0, 7)),
    st.builds(frame, st.just(TEXT), st.binary(max_size=200), mask=masks, bits=st.sampled_from([16, 64])),
    st.builds(frame, st.just(CLOSE), st.binary(max_size=6), mask=masks),
    st.builds(
        lambda code, why: frame(CLOSE, struct.pack("!H", code) + why), st.integers(900, 5100), st.binary(max_size=9)
    ),
    st.binary(max_size=20),
)


@given(st.lists(plain | plain | odd, max_size=8), st.integers(0, 3000), st.lists(st.integers(0, 1 << 20), max_size=12))
def test_whatever_comes_in_whatever_pieces_it_is_read_as_wsproto_reads_it(
    frames: list[bytes], broken_off: int, places: list[int]
) -> None:
    stream = b"".join(frames)
    stream = stream[: max(0, len(stream) - broken_off)] if broken_off < len(stream) else stream
    assert by_both(cut(stream, places)) == by_wsproto(stream)


@given(st.lists(st.text(min_size=2, max_size=3000), min_size=1, max_size=5), masks, st.integers(1, 700))
def test_plain_texts_never_leave_the_fast_lane_however_they_are_cut(texts: list[str], mask: bytes, size: int) -> None:
    lane = Frames()
    stream = b"".join(frame(TEXT, text.encode(), mask=mask) for text in texts)
    found = [text for at in range(0, len(stream), size) for text in lane.feed(stream[at : at + size])]
    assert (found, lane.ended, lane.rest) == (texts, False, b"")


@pytest.mark.parametrize("size", [2, 3, 125, 126, 127, 128, 1019, 1020, 1021, 65_534, 65_535])
def test_a_text_of_any_length_that_16_bits_can_say_is_taken(size: int) -> None:
    lane, text = Frames(), "ab" * (size // 2) + "c" * (size % 2)
    assert lane.feed(frame(TEXT, text.encode())) == [text]
    assert not lane.ended


ENDS = {
    "a fragment": frame(TEXT, MEDIA, final=False),
    "a continuation": frame(0, MEDIA),
    "binary": frame(BINARY, MEDIA),
    "a ping": frame(PING, b"still there?"),
    "a pong": frame(PONG, b""),
    "a close": frame(CLOSE, b"\x03\xe8"),
    "a length in 64 bits": frame(TEXT, MEDIA, bits=64),
    "more than 16 bits can say": frame(TEXT, b"x" * 65_536),
    "a short length in 16 bits": frame(TEXT, b"x" * 125, bits=16),
    "no mask": frame(TEXT, MEDIA, mask=None),
    "no mask, and short": frame(TEXT, b"{}", mask=None),
    "a reserved bit": frame(TEXT, MEDIA, reserved=4),
    "bad UTF-8": frame(TEXT, MEDIA + b"\xc3\x28"),
    "a surrogate": frame(TEXT, MEDIA + b"\xed\xa0\x80"),
    "half a letter": frame(TEXT, MEDIA + b"\xc3"),
    "nothing": frame(TEXT, b""),
    "one letter": frame(TEXT, b"x"),
}


@pytest.mark.parametrize("what", ENDS)
def test_anything_else_ends_the_lane_with_nothing_lost_and_nothing_read_twice(what: str) -> None:
    lane, behind = Frames(), frame(TEXT, b'{"later":1}')
    assert lane.feed(frame(TEXT, MEDIA) + ENDS[what] + behind) == [MEDIA.decode()]
    assert lane.ended
    assert lane.rest == ENDS[what] + behind


@pytest.mark.parametrize("what", sorted(set(ENDS) - {"bad UTF-8", "a surrogate", "half a letter"}))
def test_the_lane_ends_as_soon_as_the_head_says_that_it_is_another_shape(what: str) -> None:
    lane = Frames()
    for byte in ENDS[what][:4]:
        if not lane.ended:
            assert lane.feed(bytes([byte])) == []
    assert lane.ended, "a peer that says no more would never be answered"


# --- The full protocol ---


def test_a_message_of_fragments_is_one_message_with_a_ping_between_them_answered() -> None:
    protocol = Protocol()
    stream = frame(TEXT, b'{"a"', final=False) + frame(PING, b"z") + frame(0, b":1}")
    assert protocol.feed(stream) == ['{"a":1}']
    assert protocol.take_answers() == b"\x8a\x01z"
    assert protocol.take_answers() == b""


@pytest.mark.parametrize(
    ("stream", "code", "by_peer"),
    [
        (frame(CLOSE, b"\x03\xe8bye"), 1000, True),
        (frame(CLOSE, b"\x0f\xa0"), 4000, True),
        (frame(CLOSE, b""), 1005, True),
        (frame(CLOSE, b"\x03"), 1002, False),
        (frame(TEXT, b"{}", mask=None), 1002, False),
        (frame(TEXT, b"\xff\xff"), 1007, False),
        (frame(TEXT, b"x" * (MESSAGE_LIMIT + 1)), TOO_BIG, False),
        (frame(TEXT, b"x" * 60_000, final=False) + frame(0, b"x" * 60_000), TOO_BIG, False),
    ],
)
def test_the_end_is_answered_with_the_code_that_names_it(stream: bytes, code: int, by_peer: bool) -> None:
    protocol = Protocol()
    assert protocol.feed(stream + frame(PING, b"late")) == []
    assert protocol.ended is not None
    assert (protocol.ended.code, protocol.ended.by_peer) == (code, by_peer)
    answer = protocol.take_answers()
    assert answer[0] == 0x88
    assert answer[2:4] == (b"" if code == 1005 else struct.pack("!H", code))
    assert len(answer) == 2 + answer[1], "and nothing behind it"
    assert protocol.feed(frame(TEXT, MEDIA)) == []
    assert protocol.close(1000, "") == b"", "it has been said"
