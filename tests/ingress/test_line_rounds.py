"""When a line is asked again, and that reading in runs is reading all the same: a line without a socket."""

import struct
from collections.abc import Sequence

import pytest
import trio
from hypothesis import example, given
from hypothesis import strategies as st

from agent.calls.mailbox import Mailbox
from agent.core.audio import MediaFrame
from agent.core.frames import BLOCK_MS
from agent.ingress.faults import LIMIT as UNREADABLE_LIMIT
from agent.ingress.faults import MADE_UP_BY
from agent.ingress.frames import Frames
from agent.ingress.line import SocketLine
from agent.ingress.sweep import Sweep
from agent.rounds import ROUND_S, ROUNDS_A_BLOCK
from agent.telephony.twilio import MediaStream

MASK = b"\x81\xfe\x00\x7f"
START = (
    b'{"event":"start","sequenceNumber":"1","streamSid":"MZ1","start":{"streamSid":"MZ1","callSid":"CA1","tracks":'
    b'["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},'
    b'"customParameters":{"token":"good"}}}'
)
KEY = b'{"event":"dtmf","sequenceNumber":"%d","streamSid":"MZ1","dtmf":{"digit":"9"}}'
STOP = b'{"event":"stop","streamSid":"MZ1"}'
FRAME_MS = 20


def framed(text: bytes) -> bytes:
    head = bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe" + struct.pack("!H", len(text))
    return b"\x81" + head + MASK + bytes(byte ^ MASK[place % 4] for place, byte in enumerate(text))


def media(number: int) -> bytes:
    """Message `number` of a stream whose first frame has 2."""
    return (
        b'{"event":"media","sequenceNumber":"%d","media":{"track":"inbound","chunk":"%d","timestamp":"%d","payload":"'
        b'%s"},"streamSid":"MZ1"}' % (number, number - 1, FRAME_MS * (number - 2), b"f/9/" * 53 + b"fw==")
    )


class Call:
    """A call as its lines see it."""

    relay, call_sid, stream_sid = None, "CA1", None

    def __init__(self) -> None:
        self.mailbox = Mailbox()
        self.keys: list[str] = []

    def redeem(self, token: str) -> int:
        return self.mailbox.serial + 1

    def key_pressed(self, digit: str) -> None:
        self.keys.append(digit)


class Socket:
    def __init__(self) -> None:
        self.lane, self.over = Frames(), False


class OneByOne(MediaStream):
    def run_of_frames(self, messages: Sequence[str], heard_at: float) -> list[MediaFrame]:
        return []


def line(stream: MediaStream | None = None) -> tuple[SocketLine, Call]:
    call = Call()
    line = SocketLine(Socket(), call, Sweep())  # type: ignore[arg-type]
    line._messages = stream or MediaStream()
    return line, call


def blocks(call: Call) -> list[list[MediaFrame]]:
    waiting = []
    while True:
        try:
            waiting.append(list(call.mailbox.blocks.receive_nowait().frames))
        except (trio.WouldBlock, trio.EndOfChannel):
            return waiting


numbers = st.integers(2, 40)
texts = st.one_of(
    numbers.map(media), numbers.map(media), numbers.map(KEY.__mod__), st.just(b"no JSON"), st.just(STOP), st.just(START)
)


@given(st.integers(0, 20), st.lists(texts, max_size=12), st.lists(st.integers(1, 1500), max_size=8))
@example(orderly=12, odd=[STOP, media(14)], sizes=[])
def test_reading_in_runs_is_reading_one_by_one(orderly: int, odd: list[bytes], sizes: list[int]) -> None:
    said = [START, *(media(2 + number) for number in range(orderly)), *odd]
    data = b"".join(map(framed, said))
    found = []
    for stream in (MediaStream(), OneByOne()):
        one, call = line(stream)
        at, went_on = 0, []
        for now, size in enumerate([*sizes, len(data)]):
            if at < len(data) and all(went_on):
                went_on.append(bool(one.hear(data[at : at + size], float(now))))
            at += size
        found.append((blocks(call), call.mailbox.held, call.mailbox.heard_at, call.keys, went_on, one._closing))
    assert found[0] == found[1]


@given(st.floats(0, 0.2), st.floats(0, 0.0199))
@example(0.0, 0.0)
def test_a_line_that_sits_rounds_out_passes_each_block_on_in_the_round_it_would_have_anyway(
    begins_at: float, late_s: float
) -> None:
    """Frames come every 20 ms, rounds every 40; the one begins somewhere between the others."""
    one, call = line()
    one.hear(framed(START), 0.0)
    came_at = [begins_at + late_s + number * FRAME_MS / 1000 for number in range(300)]
    heard = asked = 0
    due, passed = 1, []
    for round_ in range(1, 160):
        now = round_ * ROUND_S
        there = sum(at <= now for at in came_at)
        if round_ < due:
            continue
        if there > heard:
            due = round_ + int(one.hear(b"".join(framed(media(2 + number)) for number in range(heard, there)), now))
            assert round_ < due <= round_ + ROUNDS_A_BLOCK
            heard, asked = there, asked + 1
        passed += [(frames[-1].sequence - 2, now) for frames in blocks(call)]
    assert len(passed) > 25
    for last, now in passed[1:]:  # the first tells how far the two clocks are apart
        assert -1e-6 <= now - came_at[last] <= ROUND_S + 1e-6
    assert asked <= 0.25 * 159, "and many rounds were sat out"


@pytest.mark.parametrize(("slower", "from_s", "delay_s"), [(1e-4, 0.0, 0.0), (0.0, 60.0, 0.15)])
def test_a_line_whose_clock_is_slow_or_that_has_got_slower_still_sits_rounds_out(
    slower: float, from_s: float, delay_s: float
) -> None:
    """What it once could is not what it can for ever."""
    one, _ = line()
    one.hear(framed(START), 0.0)
    came_at = [0.013 + 0.02 * n * (1 + slower) for n in range(600 * 50)]
    came_at = [at + delay_s if at > from_s else at for at in came_at]
    heard, due, asked = 0, 1, 0
    for round_ in range(1, round(599 / ROUND_S)):
        if round_ < due:
            continue
        now, new = round_ * ROUND_S, heard
        while came_at[new] <= now:
            new += 1
        asked += now > 500
        due = round_ + 1
        if new > heard:
            due = round_ + one.hear(b"".join(framed(media(2 + number)) for number in range(heard, new)), now)
        heard = new
    assert asked <= 1.1 * 99 / (BLOCK_MS / 1000), "once a block, or hardly more often"


def test_until_a_line_has_been_heard_it_is_asked_in_every_round() -> None:
    one, call = line()
    assert one.hear(framed(START), 0.0) == 1
    assert one.hear(framed(media(2)), 0.04) == ROUNDS_A_BLOCK
    call.mailbox.sink = lambda _: None
    assert one.hear(framed(media(3)), 0.06) == 1, "somebody wants each frame at once"


def test_a_line_that_nobody_will_listen_to_any_more_sits_rounds_out_and_one_not_listened_to_yet_does_not() -> None:
    one, call = line()
    call.mailbox = Mailbox(listening=lambda: False)
    one.hear(framed(START), 0.0)
    assert [one.hear(framed(media(2 + number)), 0.04 * number) for number in range(3)] == [1, 1, 1]
    call.mailbox.discard()
    assert one.hear(framed(media(6)), 0.2) == ROUNDS_A_BLOCK


def test_all_lines_that_nobody_will_listen_to_any_more_are_asked_in_the_same_round() -> None:
    met = set()
    for begins in range(1, 8):
        one, call = line()
        one.hear(framed(START), begins * ROUND_S)
        call.mailbox.discard()
        round_, number = begins + 1, 2
        for _ in range(4):
            round_ += one.hear(framed(media(number)), round_ * ROUND_S + 0.003)
            number += 1
        met.add(round_ % ROUNDS_A_BLOCK)
    assert met == {0}


def test_a_block_that_is_overdue_is_looked_for_in_every_round() -> None:
    one, _ = line()
    one.hear(framed(START) + framed(media(2)), 0.0)
    assert one.hear(framed(media(3)), BLOCK_MS / 1000) == 1


def test_a_line_that_was_hung_up_goes_no_further_than_one_message() -> None:
    for stream in (MediaStream(), OneByOne()):
        one, call = line(stream)
        one.hear(framed(START) + framed(media(2)), 0.0)
        one.hang_up(1008, "Superseded")
        assert one.hear(framed(media(3)) + framed(media(4)), 0.02) == 0
        assert call.mailbox.held == 2


@pytest.mark.parametrize("end", [STOP, b""])
def test_a_line_that_has_ended_is_not_asked_again(end: bytes) -> None:
    one, _ = line()
    one.hear(framed(START) + framed(media(2)), 0.0)
    assert one.hear(framed(media(3)) + framed(end) if end else b"", 0.02) == 0


def told(number: int, timestamp_ms: int) -> bytes:
    return media(number).replace(b'"timestamp":"%d"' % (FRAME_MS * (number - 2)), b'"timestamp":"%d"' % timestamp_ms)


@pytest.mark.parametrize("ahead_ms", [1_500, 3_600_000])
def test_one_timestamp_that_is_far_ahead_does_not_cost_the_line(ahead_ms: int) -> None:
    one, _ = line()
    one.hear(framed(START), 0.0)
    for number in range(2, 600):
        timestamp_ms = FRAME_MS * (number - 2) + (ahead_ms if number == 300 else 0)
        assert one.hear(framed(told(number, timestamp_ms)), 0.02 * number), number


def test_a_fault_a_minute_is_made_up_for_and_many_are_not() -> None:
    one, _ = line()
    one.hear(framed(START), 0.0)
    number = 2
    for minute in range(2 * UNREADABLE_LIMIT):
        assert one.hear(framed(b"no JSON"), 60.0 * minute)
        for _ in range(MADE_UP_BY):
            assert one.hear(framed(media(number)), 60.0 * minute)
            number += 1
    closed = [one.hear(framed(b"no JSON") + framed(media(number + n)), 1e6) for n in range(UNREADABLE_LIMIT)]
    assert not closed[-1]
