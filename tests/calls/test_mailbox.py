"""Where a line leaves what it heard, the tokens that let it in, and readings from outside."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from agent.actors import aggregator
from agent.calls.broadcast import Broadcast
from agent.calls.call import Call
from agent.calls.mailbox import BLOCKS_A_SECOND, FRAMES_A_BLOCK, OF_A_RELAY, SUPERSEDED, Mailbox
from agent.calls.timeline import CallTimeline
from agent.calls.tokens import TOKENS_KEPT
from agent.core.audio import Block, MediaFrame
from agent.core.destination import masked
from agent.core.emotion import Emotion, EmotionReading, Outcome
from agent.core.frames import BLOCK_MS
from agent.errors import CallGone
from agent.ledger.memory import MemoryLedger

from .stage import open_stage


class Socket:
    """A line as its call sees it."""

    def __init__(self) -> None:
        self.closed: list[tuple[int, str]] = []

    def hang_up(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))


def frame(number: int, *, media_ms: int | None = None, ms: int = 20) -> MediaFrame:
    start_ms = 20 * number if media_ms is None else media_ms
    return MediaFrame(number, start_ms, b"\xff" * (8 * ms), start_ms / 1000)


def heard(mailbox: Mailbox) -> list[Block]:
    """The blocks that wait."""
    blocks = []
    while True:
        try:
            blocks.append(mailbox.blocks.receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel):
            return blocks


def numbers(blocks: Sequence[Block]) -> list[list[int]]:
    return [[frame.sequence for frame in block.frames] for block in blocks]


def connected(serial: int = 1) -> tuple[Mailbox, Socket]:
    mailbox, line = Mailbox(), Socket()
    assert mailbox.connect(line, serial)
    return mailbox, line


# --- Blocks ---


async def test_blocks_are_cut_on_the_media_clock_every_fifth_of_a_second() -> None:
    mailbox, line = connected()
    for number in range(22):
        mailbox.hear(line, frame(number))
    assert numbers(heard(mailbox)) == [list(range(10)), list(range(10, 20))]


async def test_blocks_count_from_the_first_frame_as_windows_do() -> None:
    mailbox, line = connected()
    for number in range(3, 14):
        mailbox.hear(line, frame(number))
    assert numbers(heard(mailbox)) == [list(range(3, 13))]


async def test_a_line_that_takes_over_goes_on_where_the_other_was() -> None:
    mailbox, line = connected()
    for number in range(13):
        mailbox.hear(line, frame(number))
    other = Socket()
    assert mailbox.connect(other, 2)
    for number in range(50, 60):
        mailbox.hear(other, frame(number))
    assert numbers(heard(mailbox)) == [list(range(10)), [10, 11, 12], list(range(50, 57))]


@given(st.lists(st.tuples(st.integers(0, 10), st.integers(0, 150)), max_size=80))
def test_every_frame_is_passed_on_once_in_order_and_soon(frames: list[tuple[int, int]]) -> None:
    mailbox, line = connected()
    media_ms, taken, sent = 0, [], []
    for number, (skipped, ms) in enumerate(frames):
        media_ms += 20 * skipped
        one = frame(number, media_ms=media_ms, ms=ms)
        mailbox.hear(line, one)
        media_ms = one.end_ms
        sent.append(one)
        taken += [heard_one for block in heard(mailbox) for heard_one in block.frames]
        waiting = sent[len(taken) :]
        assert not waiting or waiting[-1].end_ms - waiting[0].media_ms < BLOCK_MS
        assert len(waiting) < FRAMES_A_BLOCK
    mailbox.close()
    assert taken + [one for block in heard(mailbox) for one in block.frames] == sent


async def test_a_carrier_whose_clock_stands_still_is_cut_off_by_count() -> None:
    mailbox, line = connected()
    for number in range(2 * FRAMES_A_BLOCK):
        mailbox.hear(line, frame(number, media_ms=0))
    assert [len(block.frames) for block in heard(mailbox)] == [FRAMES_A_BLOCK, FRAMES_A_BLOCK]


async def test_one_second_of_blocks_may_wait_and_then_the_oldest_pays() -> None:
    mailbox, line = connected()
    for number in range(10 * 25):
        mailbox.hear(line, frame(number))
    waiting = heard(mailbox)
    assert len(waiting) == BLOCKS_A_SECOND
    assert waiting[0].frames[0].sequence == 10 * 20
    assert mailbox.dropped == 20


async def test_a_call_with_a_relay_keeps_a_longer_burst_for_its_line_cannot_be_held_back() -> None:
    timeline = CallTimeline(
        "CA1", began=datetime.now(UTC), ledger=MemoryLedger(), audience=Broadcast(), keep_text=False
    )
    for relayed, depth in ((True, OF_A_RELAY), (False, BLOCKS_A_SECOND)):
        one = Call("CA1", attach="bridge", caller="", timeline=timeline, relayed=relayed)
        assert one.mailbox.outbox.depth == depth


async def test_a_relay_gets_each_frame_at_once_and_only_from_the_line_that_counts() -> None:
    mailbox, line = connected()
    relayed: list[int] = []
    mailbox.sink = lambda one: relayed.append(one.sequence)
    mailbox.hear(line, frame(1))
    assert relayed == [1]
    mailbox.hear(Socket(), frame(2))
    assert relayed == [1]


async def test_the_moment_of_the_newest_frame_is_remembered() -> None:
    mailbox, line = connected()
    assert mailbox.heard_at == float("-inf")
    mailbox.hear(line, frame(3))
    assert mailbox.heard_at == 0.06


# --- Lines ---


async def test_a_newer_line_takes_over_and_the_older_is_hung_up_and_no_longer_heard() -> None:
    mailbox, old = connected()
    mailbox.hear(old, frame(1))
    new = Socket()
    assert mailbox.connect(new, 2)
    mailbox.hear(old, frame(2))
    mailbox.hear(new, frame(9))
    mailbox.close()
    blocks = heard(mailbox)
    assert (numbers(blocks), [block.line for block in blocks]) == ([[1], [9]], [1, 2])
    assert old.closed == [SUPERSEDED]
    assert new.closed == []


async def test_the_end_of_a_superseded_line_is_not_the_calls() -> None:
    mailbox, old = connected()
    new = Socket()
    mailbox.connect(new, 2)
    assert not mailbox.disconnect(old)
    mailbox.hear(new, frame(1))
    assert mailbox.disconnect(new)
    assert numbers(heard(mailbox)) == [[1]]


@pytest.mark.parametrize("serial", [0, 1])
async def test_a_line_with_an_older_token_is_not_let_in(serial: int) -> None:
    mailbox, line = connected(serial=1)
    assert not mailbox.connect(Socket(), serial)
    assert line.closed == []


async def test_what_is_left_is_passed_on_when_the_line_goes_and_then_the_blocks_end() -> None:
    mailbox, line = connected()
    mailbox.hear(line, frame(1))
    assert mailbox.disconnect(line)
    assert not mailbox.disconnect(line)
    with trio.fail_after(1):
        assert numbers([block async for block in mailbox.blocks]) == [[1]]


async def test_a_call_that_is_over_hangs_its_line_up_once_and_lets_no_other_in() -> None:
    mailbox, line = connected()
    mailbox.hang_up(1000, "hangup")
    mailbox.hang_up(1011, "again")
    mailbox.hear(line, frame(1))
    assert line.closed == [(1000, "hangup")]
    assert not mailbox.connect(Socket(), 2)
    assert heard(mailbox) == []


async def test_whoever_waits_for_a_line_learns_of_the_end_too() -> None:
    mailbox = Mailbox()
    mailbox.close()
    with trio.fail_after(1):
        await mailbox.connected.wait()
        assert [block async for block in mailbox.blocks] == []


# --- Tokens ---


async def call() -> Call:
    timeline = CallTimeline(
        "CA1", began=datetime.now(UTC), ledger=MemoryLedger(), audience=Broadcast(), keep_text=False
    )
    return Call("CA1", attach="bridge", caller="+15550100001", timeline=timeline)


async def test_a_token_is_good_for_one_socket() -> None:
    one = await call()
    token = one.issue_token()
    assert one.redeem(token) == 1
    assert one.redeem(token) is None


@pytest.mark.parametrize("token", ["", "x", "ü", "\x00", "x" * 100_000])
async def test_any_other_token_is_not_good(token: str) -> None:
    one = await call()
    good = one.issue_token()
    assert one.redeem(token) is None
    assert one.redeem(good[:-1]) is None
    assert one.redeem(good) == 1


async def test_a_repeated_webhook_does_not_spend_the_token_before_it_and_the_newer_socket_wins() -> None:
    one = await call()
    first, second = one.issue_token(), one.issue_token()
    newer, older = one.redeem(second), one.redeem(first)
    assert newer is not None
    assert older is not None
    assert one.mailbox.connect(Socket(), newer)
    assert not one.mailbox.connect(Socket(), older)


async def test_only_so_many_tokens_of_one_call_are_good_at_once() -> None:
    one = await call()
    tokens = [one.issue_token() for _ in range(TOKENS_KEPT + 3)]
    assert len(set(tokens)) == len(tokens)
    assert [one.redeem(token) is not None for token in tokens] == [False] * 3 + [True] * TOKENS_KEPT


# --- What a call says of itself ---


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("+15550100001", "***01"),
        ("", ""),
        ("anonymous", "***"),
        ("sip:bob@example.com", "***"),
        ("sip:15550100001@example.com", "***"),
        ("client:agent42", "***42"),
    ],
)
def test_a_number_is_masked_to_its_last_two_digits(number: str, shown: str) -> None:
    assert masked(number) == shown


@given(st.text(min_size=3))
def test_no_more_than_two_characters_of_a_number_ever_show(number: str) -> None:
    assert masked(number) in ("***", "***" + number[-2:])


async def test_what_ended_a_call_first_is_what_the_record_says() -> None:
    one = await call()
    one.end(Outcome.QUIET)
    one.end(Outcome.HANGUP)
    assert one.outcome is Outcome.QUIET


async def test_the_end_of_a_superseded_line_is_no_hang_up() -> None:
    one = await call()
    old, new = Socket(), Socket()
    one.mailbox.connect(old, 1)
    one.mailbox.connect(new, 2)
    one.line_ended(old)
    assert one.outcome is None
    one.line_ended(new)
    assert one.outcome is Outcome.HANGUP


async def test_frames_and_signed_messages_keep_a_call_alive(autojump_clock: MockClock) -> None:
    one = await call()
    await trio.sleep(100)
    assert one.silent_s == 100
    one.touch()
    await trio.sleep(5)
    assert one.silent_s == 5
    line = Socket()
    one.mailbox.connect(line, 1)
    one.mailbox.hear(line, MediaFrame(1, 0, b"\xff" * 160, trio.current_time()))
    assert one.silent_s == 0


async def test_the_assistants_speech_is_timed_and_being_told_twice_changes_nothing(autojump_clock: MockClock) -> None:
    one = await call()
    assert (one.assistant_speaking, one.heard_ms()) == (False, None)
    one.assistant_speech(started=True)
    await trio.sleep(1.5)
    one.assistant_speech(started=True)
    assert (one.assistant_speaking, one.heard_ms()) == (True, 1_500)
    one.assistant_speech(started=False)
    one.assistant_speech(started=False)
    assert (one.assistant_speaking, one.heard_ms()) == (False, None)
    assert dict(one.timeline.counts) == {"call.started": 1, "tts.started": 1, "tts.stopped": 1}


# --- Readings from outside ---


def sad() -> EmotionReading:
    return EmotionReading(Emotion("sad", 0.9), "webhook", 0, 0, trio.current_time())


async def test_a_reading_from_outside_is_answered_with_what_became_of_it(autojump_clock: MockClock) -> None:
    async with open_stage() as stage:
        verdict = await stage.ring().hear(sad())
    assert (verdict.refused, verdict.buffer_size) == (None, 1)


async def test_a_reading_for_a_call_that_has_ended_is_told_so(autojump_clock: MockClock) -> None:
    async with open_stage() as stage:
        one = stage.ring()
        one.end(Outcome.HANGUP)
        await stage.gone(one)
        with trio.fail_after(5), pytest.raises(CallGone):
            await one.hear(sad())


async def test_a_reading_whose_call_crashes_over_it_is_answered_too(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*arguments: object) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(aggregator, "fold", crash)
    async with open_stage() as stage:
        with trio.fail_after(5), pytest.raises(CallGone):
            await stage.ring().hear(sad())


# --- A relay holds the line ---


def relayed() -> tuple[Mailbox, Socket, list[int]]:
    mailbox, line = connected()
    heard: list[int] = []
    mailbox.sink = lambda one: heard.append(one.sequence)
    return mailbox, line, heard


async def test_the_line_of_a_relay_outlives_its_call_and_is_heard_on() -> None:
    mailbox, line, heard = relayed()
    mailbox.hang_up(1011, "crashed")
    mailbox.hear(line, frame(1))
    assert (heard, line.closed) == ([1], [])


async def test_another_line_may_take_over_from_a_relays_even_when_the_call_is_over() -> None:
    mailbox, old, heard = relayed()
    mailbox.close()
    new = Socket()
    assert mailbox.connect(new, 2)
    mailbox.hear(old, frame(1))
    mailbox.hear(new, frame(2))
    assert (heard, old.closed) == ([2], [SUPERSEDED])


async def test_what_a_relay_releases_is_hung_up_and_no_longer_passed_on() -> None:
    mailbox, line, heard = relayed()
    mailbox.release(1001, "lost")
    mailbox.hear(line, frame(1))
    assert (heard, line.closed) == ([], [(1001, "lost")])
    mailbox.close()
    assert not mailbox.connect(Socket(), 2)
