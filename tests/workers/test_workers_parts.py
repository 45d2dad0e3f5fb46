"""What workers are made of: shares of a limit, where calls begin, one page of numbers, files that change hands."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from trio.testing import MockClock

from agent.calls.broadcast import Broadcast
from agent.errors import ConfigError
from agent.settings import Settings
from agent.workers import talk
from agent.workers.arrivals import FILES, LARGEST, Arrival, Reading, without_expect
from agent.workers.berth import check_shared, share, weight
from agent.workers.pages import together
from agent.workers.peers import Peers
from agent.workers.watching import LINGER_S, LOOK_EVERY_S, EventsOfAll
from agent.workers.whose import in_path, kind_of
from agent.workers.wire import Wire


@given(limit=st.integers(0, 200), count=st.integers(1, 64))
def test_all_shares_of_a_limit_are_the_limit(limit: int, count: int) -> None:
    parts = [share(Settings(transfers_per_minute=limit), slot, count).transfers_per_minute for slot in range(count)]
    assert sum(parts) == limit
    assert max(parts) - min(parts) <= 1


def test_a_limit_smaller_than_the_workers_cannot_be_shared_and_one_that_nobody_uses_can() -> None:
    with pytest.raises(ConfigError, match="hume_sessions is 1, and 2 workers share it"):
        check_shared(Settings(engine="hume", hume_sessions=1), 2)
    check_shared(Settings(engine="local", hume_sessions=1, transfers_per_minute=0), 2)


def test_calls_begin_with_all_workers_alike_and_only_those_of_one_that_is_away_move() -> None:
    sids = [f"CA{number:032x}" for number in range(3000)]
    with_all = {sid: max(range(3), key=lambda slot: weight(sid, slot)) for sid in sids}
    without_one = {sid: max((0, 2), key=lambda slot: weight(sid, slot)) for sid in sids}
    counts = Counter(with_all.values())
    assert all(900 < counts[slot] < 1100 for slot in range(3))
    assert all(without_one[sid] == slot for sid, slot in with_all.items() if slot != 1)


def test_one_page_says_whose_each_number_is_and_can_be_read_by_prometheus() -> None:
    page = '# HELP a_total Of a {brace}.\n# TYPE a_total counter\na_total{why="a b,{c}"} 1.0\n'
    page += "# HELP g G.\n# TYPE g gauge\ng 2.0\n"
    merged = together({0: page.encode(), 2: page.replace("2.0", "5.0").encode()}, 3).decode()
    found = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(merged)
        for sample in family.samples
    }
    assert found["a_total", (("why", "a b,{c}"), ("worker", "0"))] == 1.0
    assert found["g", (("worker", "2"),)] == 5.0
    assert [found["callmood_worker_up", (("worker", str(slot)),)] for slot in range(3)] == [1.0, 0.0, 1.0]
    assert merged.count("# TYPE g gauge") == 1


@pytest.mark.parametrize(
    ("target", "sid"),
    [
        ("/audio-stream/CA1", "CA1"),
        ("/audio-stream/CA1/", "CA1"),
        ("/calls/CA1/actions?x=1", "CA1"),
        ("/debug/calls/CA%31", "CA1"),
        ("/events?view=x&call=CA1", "CA1"),
        ("/events", None),
        ("/calls", None),
        ("/calls/CA1/else/where", None),
        ("/live/CA1", None),
    ],
)
def test_the_path_of_a_request_names_its_call(target: str, sid: str | None) -> None:
    assert in_path(target) == sid


def test_a_body_in_chunks_is_read_without_their_framing_and_what_has_been_answered_is_not_asked_again() -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
    arrival = Arrival(without_expect(head), bytearray(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), chunked=True)
    assert arrival.body() == b"abcde"
    assert b"Expect" not in arrival.head
    assert arrival.head.endswith(b"chunked\r\n\r\n")


async def test_a_file_comes_with_its_message_and_stays_the_senders_too() -> None:
    ours, theirs = socket.socketpair()
    reader, writer = os.pipe()
    with (
        Wire(trio.socket.from_stdlib_socket(ours)) as here,
        Wire(trio.socket.from_stdlib_socket(theirs)) as there,
        trio.fail_after(5),
    ):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(here.send, b"x" * 1_000_000, [writer])
            message = await there.receive()
        [came] = there.files()
        os.close(writer)
        os.write(came, b"hello")
        os.close(came)
        assert message == b"x" * 1_000_000
        assert os.read(reader, 10) == b"hello"
        assert os.read(reader, 10) == b"", "somebody else still holds it"
    os.close(reader)


async def test_a_message_that_never_came_whole_leaves_no_file_open() -> None:
    ours, theirs = socket.socketpair()
    reader, writer = os.pipe()
    socket.send_fds(theirs, [b"\x00\x00\x00\x09half"], [writer])
    theirs.close()
    os.close(writer)
    with Wire(trio.socket.from_stdlib_socket(ours)) as here:
        assert await here.receive() is None
    assert os.read(reader, 1) == b""
    os.close(reader)


@pytest.mark.parametrize(
    "target", ["/voice/incoming", "//voice/incoming", "/voice%2fincoming", "/%76oice/incoming?x=1"]
)
def test_a_webhook_that_is_written_differently_is_the_same_webhook(target: str) -> None:
    kind = kind_of(b"POST", target)
    assert kind is not None
    assert kind.begins


@pytest.mark.parametrize("target", ["//calls/CA1", "/c%61lls/CA1", "/calls%2FCA1/actions", "//events?call=CA1"])
def test_a_path_that_is_written_differently_names_the_same_call(target: str) -> None:
    assert in_path(target) == "CA1"


SIGNED_LOOKING = b"POST /voice/incoming HTTP/1.1\r\nHost: x\r\nX-Twilio-Signature: " + b"a" * 28 + b"\r\n"


async def read_by(folder: Path, framing: bytes, sent: bytes, largest: int, reading: Reading | None = None) -> bool:
    """Whether such a body is read to its end."""
    ours, theirs = (trio.SocketStream(trio.socket.from_stdlib_socket(sock)) for sock in socket.socketpair())
    arrival = Arrival(SIGNED_LOOKING + framing + b"\r\n\r\n", bytearray())

    async def send() -> None:
        with suppress(trio.BrokenResourceError):
            await theirs.send_all(sent)

    try:
        async with ours, theirs, trio.open_nursery() as nursery:
            nursery.start_soon(send)
            reading = reading or Reading(str(folder))
            whole = await reading.read(ours, arrival, lambda headers: True, 20.0, largest)
            nursery.cancel_scope.cancel()
            return whole
    finally:
        arrival.close()


async def test_a_form_longer_than_forms_are_is_not_read_although_its_length_is_said_nowhere(tmp_path: Path) -> None:
    kind = kind_of(b"POST", "/voice/incoming")
    assert kind is not None
    long = b"ffff\r\n" + b"a" * 0xFFFF + b"\r\n"
    assert await read_by(tmp_path, b"Transfer-Encoding: chunked", long + b"0\r\n\r\n", kind.largest)
    assert not await read_by(tmp_path, b"Transfer-Encoding: chunked", long * 2 + b"0\r\n\r\n", kind.largest)
    assert not await read_by(tmp_path, b"Content-Length: 200000", b"a" * 200_000, kind.largest)


async def test_a_body_in_chunks_of_one_byte_is_not_taken_apart_to_its_end(tmp_path: Path) -> None:
    crumbs = b"1\r\na\r\n"
    assert await read_by(tmp_path, b"Transfer-Encoding: chunked", crumbs * 1000 + b"0\r\n\r\n", LARGEST)
    assert not await read_by(tmp_path, b"Transfer-Encoding: chunked", crumbs * 20_000 + b"0\r\n\r\n", LARGEST)


async def test_others_have_their_turn_while_such_a_body_comes_in(tmp_path: Path) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        await read_by(tmp_path, b"Transfer-Encoding: chunked", b"1\r\na\r\n" * 10_000 + b"0\r\n\r\n", LARGEST)
        nursery.cancel_scope.cancel()
    assert turns >= 60_000 / 8192


async def test_a_disk_that_takes_no_file_costs_a_long_body_and_not_the_place_of_the_next(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    reading = Reading(str(gone))
    for _ in range(FILES + 1):
        with pytest.raises(ExceptionGroup):
            await read_by(gone, b"Content-Length: 200000", b"a" * 200_000, LARGEST, reading)
    gone.mkdir()
    assert await read_by(gone, b"Content-Length: 200000", b"a" * 200_000, LARGEST, reading)


class SlowToLeave:
    """Siblings of which one tells nothing, and takes a second to be left."""

    slots = (1,)

    def __init__(self) -> None:
        self.followed = 0

    async def follow(self, slot: int, message: talk.Message, take: Callable[[bytes], None]) -> None:
        self.followed += 1
        take(talk.encode(talk.Passed("epoch", 0, "", 0, b"")))
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(1.0)


async def test_who_begins_to_watch_just_as_nobody_has_for_long_enough_is_not_overlooked(
    autojump_clock: MockClock,
) -> None:
    peers, broadcast = SlowToLeave(), Broadcast()
    events = EventsOfAll(cast(Peers, peers), broadcast)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(events.run)
        await events.begin()
        await trio.sleep(LINGER_S + LOOK_EVERY_S + 0.5)
        await events.begin()
        await trio.sleep(1.0)  # until there is an answer
        with broadcast.watch():
            await trio.sleep(10.0)
            assert peers.followed == 2
        nursery.cancel_scope.cancel()
