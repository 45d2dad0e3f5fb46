"""The one task that reads all lines: when it reads, how much, and what one line's trouble is to the others."""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from agent.ingress.sweep import LAST_SHARES, SHARE, STRETCH, Sweep
from agent.rounds import BEAT_S, BEATS_A_ROUND, ROUND_S


class Hearer:
    """Notes what it is given, and when."""

    def __init__(self, *, enough: bytes = b"") -> None:
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.heard: list[tuple[float, bytes]] = []
        self._enough = enough
        self.busy = False

    def hear(self, data: bytes, now: float) -> bool:
        self.heard.append((now, data))
        return data != self._enough

    def keeps_up(self) -> bool:
        return not self.busy

    @property
    def data(self) -> list[bytes]:
        return [data for _, data in self.heard]

    def close(self) -> None:
        self.near.close()
        self.far.close()


@asynccontextmanager
async def swept(*hearers: Hearer, urgent: bool = False) -> AsyncIterator[trio.Nursery]:
    sweep = Sweep()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sweep.run)
        for hearer in hearers:
            nursery.start_soon(lambda hearer=hearer: sweep.listen(hearer.near.fileno(), hearer, urgent=urgent))
        await wait_all_tasks_blocked()
        await trio.sleep(BEAT_S / 2)  # what is done then comes between two beats, and not at the same time as one
        yield nursery
        nursery.cancel_scope.cancel()
    for hearer in hearers:
        hearer.close()


async def test_what_came_between_two_rounds_is_passed_on_at_once_and_within_a_round(autojump_clock: MockClock) -> None:
    one = Hearer()
    async with swept(one):
        for piece in (b"a", b"b"):
            one.far.send(piece)
            sent_at = trio.current_time()
            await trio.sleep(2 * ROUND_S)
            ((heard_at, data),) = one.heard
            assert data == piece
            assert sent_at <= heard_at <= sent_at + ROUND_S
            one.heard.clear()
        one.far.send(b"c")
        one.far.send(b"d")
        await trio.sleep(2 * ROUND_S)
        assert one.data == [b"cd"]


async def test_an_urgent_line_is_read_every_beat_and_the_others_keep_their_rounds(autojump_clock: MockClock) -> None:
    urgent, other, sweep = Hearer(), Hearer(), Sweep()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sweep.run)
        nursery.start_soon(lambda: sweep.listen(urgent.near.fileno(), urgent, urgent=True))
        nursery.start_soon(lambda: sweep.listen(other.near.fileno(), other))
        await trio.sleep(BEAT_S / 2)  # in the middle between two beats
        for _ in range(4 * BEATS_A_ROUND):
            urgent.far.send(b".")
            other.far.send(b".")
            await trio.sleep(BEAT_S)
        nursery.cancel_scope.cancel()
    assert urgent.data == [b"."] * (4 * BEATS_A_ROUND)
    assert set(other.data[2:]) == {b"." * BEATS_A_ROUND}, "once the rounds lie where those of everybody do"
    assert len(other.data) == 5
    for each in (urgent, other):
        each.close()


async def test_without_lines_the_clock_does_not_tick(mock_clock: MockClock) -> None:
    sweep = Sweep()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sweep.run)
        await wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().seconds_to_next_deadline == float("inf")
        nursery.cancel_scope.cancel()


async def test_a_flooding_socket_gives_its_share_a_beat_and_the_rest_waits_at_the_peer(
    autojump_clock: MockClock,
) -> None:
    flood, calm = Hearer(), Hearer()
    flood.near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    flood.far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    async with swept(flood, calm):
        await trio.sleep(BEAT_S / 2)  # in the middle between two beats
        assert flood.far.send(b"x" * 8 * SHARE) == 8 * SHARE
        calm.far.send(b"y")
        await trio.sleep(2 * ROUND_S)
        assert {len(data) for data in flood.data} == {SHARE}
        between = [later - sooner for (sooner, _), (later, _) in pairwise(flood.heard)]
        assert between == pytest.approx([BEAT_S] * (len(flood.heard) - 1))
        assert calm.data == [b"y"]


async def test_a_burst_is_caught_up_with_soon_and_nothing_of_it_is_lost(autojump_clock: MockClock) -> None:
    one = Hearer()
    one.near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    one.far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    burst = os.urandom(3 * SHARE + 17)
    async with swept(one):
        assert one.far.send(burst) == len(burst)
        await trio.sleep(ROUND_S + 5 * BEAT_S)
        assert b"".join(one.data) == burst


async def test_a_burst_goes_on_only_when_what_came_of_it_has_been_listened_to(autojump_clock: MockClock) -> None:
    one = Hearer()
    one.near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    one.far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    async with swept(one):
        one.busy = True
        assert one.far.send(b"x" * (2 * SHARE + 1)) == 2 * SHARE + 1
        await trio.sleep(5 * ROUND_S)
        assert len(one.data) == 1
        one.busy = False
        await trio.sleep(ROUND_S + 2 * BEAT_S)
        assert len(b"".join(one.data)) == 2 * SHARE + 1


async def test_an_end_and_a_reset_are_told_as_nothing_more(autojump_clock: MockClock) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    peer = socket.create_connection(listener.getsockname())
    ended, reset = Hearer(enough=b""), Hearer(enough=b"")
    reset.near.close()
    reset.near, _ = listener.accept()
    reset.near.setblocking(False)
    async with swept(ended, reset):
        ended.far.close()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        peer.close()
        await trio.sleep(5 * ROUND_S)
    listener.close()
    assert (ended.data, reset.data) == ([b""], [b""]), "said once, and never asked again"


class Bug(Exception):
    """Of ours."""


async def test_a_bug_in_one_line_is_raised_in_its_own_task_and_no_other_notices(autojump_clock: MockClock) -> None:
    class Broken(Hearer):
        def hear(self, data: bytes, now: float) -> bool:
            raise Bug

    broken, sound, sweep = Broken(), Hearer(), Sweep()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sweep.run)
        nursery.start_soon(lambda: sweep.listen(sound.near.fileno(), sound))
        broken.far.send(b"x")
        with trio.fail_after(1), pytest.raises(Bug):
            await sweep.listen(broken.near.fileno(), broken)
        sound.far.send(b"still here")
        await trio.sleep(2 * ROUND_S)
        assert sound.data == [b"still here"]
        nursery.cancel_scope.cancel()
    for each in (broken, sound):
        each.close()


async def test_listening_returns_when_its_line_has_had_enough_and_what_comes_then_is_left_unread(
    autojump_clock: MockClock,
) -> None:
    one, sweep = Hearer(enough=b"enough"), Sweep()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sweep.run)
        one.far.send(b"enough")
        with trio.fail_after(1):
            await sweep.listen(one.near.fileno(), one)
        one.far.send(b"for the slow lane")
        await trio.sleep(5 * ROUND_S)
        assert os.read(one.near.fileno(), 100) == b"for the slow lane"
        nursery.cancel_scope.cancel()
    one.close()


async def test_a_line_that_has_left_in_the_middle_of_a_round_is_not_read(autojump_clock: MockClock) -> None:
    """A round is interrupted when much has been read, and the number of a closed socket is another's at once."""
    for _ in range(20):  # who goes on first after an interruption is up to chance
        assert not await heard_after_leaving()


async def heard_after_leaving() -> bool:
    leaving, sweep = trio.CancelScope(), Sweep()
    gone = wrong = False

    class Late(Hearer):
        def hear(self, data: bytes, now: float) -> bool:
            nonlocal wrong
            wrong = wrong or gone
            return True

    class First(Hearer):
        def hear(self, data: bytes, now: float) -> bool:
            leaving.cancel()
            return True

    async def listen_until_told() -> None:
        nonlocal gone
        with leaving:
            await sweep.listen(late.near.fileno(), late)
        gone = True

    firsts, late = [First() for _ in range(STRETCH // SHARE)], Late()
    for first in firsts:
        first.near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        first.far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        first.far.send(b"x" * SHARE)
    late.far.send(b"somebody else's")
    async with trio.open_nursery() as nursery:
        for first in firsts:
            nursery.start_soon(sweep.listen, first.near.fileno(), first)
        await wait_all_tasks_blocked()
        nursery.start_soon(listen_until_told)
        await wait_all_tasks_blocked()
        nursery.start_soon(sweep.run)
        await trio.sleep(3 * ROUND_S)
        nursery.cancel_scope.cancel()
    for each in (*firsts, late):
        each.close()
    return wrong


async def test_it_is_said_how_many_lines_have_more_to_say_than_is_listened_to(autojump_clock: MockClock) -> None:
    said: list[tuple[int, int]] = []
    many, one, sweep = Hearer(), Hearer(), Sweep(behind=lambda *numbers: said.append(numbers))
    many.busy = True
    many.far.send(b"m" * 2 * SHARE)
    one.far.send(b"o")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sweep.run)
        for hearer in (many, one):
            nursery.start_soon(lambda hearer=hearer: sweep.listen(hearer.near.fileno(), hearer))
        await trio.sleep(3 * ROUND_S)
        assert said[-1] == (1, 2)
        many.busy = False
        await trio.sleep(3 * ROUND_S)
        assert said[-1] == (0, 2)
        nursery.cancel_scope.cancel()
    many.close()
    one.close()


async def test_a_round_is_over_when_whom_it_woke_has_had_their_turn(autojump_clock: MockClock) -> None:
    send, receive = trio.open_memory_channel[bytes](9)
    taken: list[bytes] = []
    seen: list[int] = []

    class Waking(Hearer):
        def hear(self, data: bytes, now: float) -> int:
            send.send_nowait(data)
            return super().hear(data, now)

    async def woken() -> None:
        async for data in receive:
            taken.append(data)

    line, sweep = Waking(), Sweep(over=lambda _: seen.append(len(taken)))
    async with trio.open_nursery() as nursery:
        for work in (woken, sweep.run, lambda: sweep.listen(line.near.fileno(), line)):
            nursery.start_soon(work)
        await trio.sleep(BEAT_S / 2)  # between two rounds
        before = len(seen)
        for _ in range(3):
            line.far.send(b".")
            await trio.sleep(ROUND_S)
        nursery.cancel_scope.cancel()
    line.close()
    assert seen[before:][-3:] == [1, 2, 3]


async def test_a_round_says_how_late_it_began(autojump_clock: MockClock) -> None:
    late: list[float] = []
    line, sweep = Hearer(), Sweep(over=late.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sweep.run)
        nursery.start_soon(lambda: sweep.listen(line.near.fileno(), line))
        await trio.sleep(3 * ROUND_S)
        assert late == [pytest.approx(0.0, abs=1e-6)] * len(late)
        await trio.sleep(BEAT_S / 2)  # so that the clock jumps between two rounds, and not while there is one
        autojump_clock.jump(10 * ROUND_S)
        await trio.sleep(2 * ROUND_S)
        nursery.cancel_scope.cancel()
    line.close()
    assert 9 * ROUND_S <= max(late) <= 10 * ROUND_S
    assert late[-1] < ROUND_S, "the next one is in time"


async def test_a_line_that_sits_rounds_out_is_asked_in_the_one_it_named_unless_it_is_urgent_or_behind(
    autojump_clock: MockClock,
) -> None:
    class Patient(Hearer):
        def hear(self, data: bytes, now: float) -> int:
            super().hear(data, now)
            return 3

    async def asked(line: Hearer, *, urgent: bool = False) -> list[float]:
        async with swept(line, urgent=urgent):
            for _ in range(12 * BEATS_A_ROUND):
                line.far.send(b".")
                await trio.sleep(BEAT_S)
        return [later - sooner for (sooner, _), (later, _) in pairwise(line.heard)]

    _, *then = await asked(Patient())  # the first is asked at once, and the others in everybody's rounds
    assert then == pytest.approx([3 * ROUND_S] * 3)
    assert set(map(round, [beats / BEAT_S for beats in await asked(Patient(), urgent=True)])) == {1}

    behind = Patient()
    behind.near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    behind.far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    behind.far.send(b"x" * (4 * SHARE - 1))
    async with swept(behind):
        await trio.sleep(ROUND_S + 5 * BEAT_S)
        assert sum(map(len, behind.data)) == 4 * SHARE - 1


class Sitting(Hearer):
    """Sits four rounds of five out."""

    def hear(self, data: bytes, now: float) -> int:
        super().hear(data, now)
        return 5


async def test_a_round_that_all_lines_sit_out_is_none(autojump_clock: MockClock) -> None:
    line, rounds = Sitting(), []
    async with trio.open_nursery() as nursery:
        sweep = Sweep(over=lambda _: rounds.append(trio.current_time()))
        nursery.start_soon(sweep.run)
        nursery.start_soon(lambda: sweep.listen(line.near.fileno(), line))
        await trio.sleep(BEAT_S / 2)
        for _ in range(50):
            await trio.sleep(ROUND_S)
            line.far.send(b".")
        nursery.cancel_scope.cancel()
    line.close()
    assert 10 <= len(rounds) <= 12
    assert {len(data) for data in line.data[1:]} == {5}, "and nothing is later for it"


async def test_who_comes_while_the_others_sit_out_is_heard_in_the_next_round(autojump_clock: MockClock) -> None:
    for wait in range(1, 20):
        sitting, new = Sitting(), Hearer()
        sitting.far.send(b".")
        async with trio.open_nursery() as nursery:
            sweep = Sweep()
            nursery.start_soon(sweep.run)
            nursery.start_soon(lambda: sweep.listen(sitting.near.fileno(), sitting))  # noqa: B023 - runs in here
            await trio.sleep(ROUND_S + wait * BEAT_S + BEAT_S / 2)
            came_at = trio.current_time()
            new.far.send(b"a")
            nursery.start_soon(lambda: sweep.listen(new.near.fileno(), new))  # noqa: B023
            await trio.sleep(3 * ROUND_S)
            nursery.cancel_scope.cancel()
        sitting.close()
        new.close()
        assert new.heard[0][0] - came_at <= 1.5 * ROUND_S


async def test_rounds_that_come_late_are_as_many_fewer_to_sit_out(autojump_clock: MockClock) -> None:
    class Patient(Hearer):
        def hear(self, data: bytes, now: float) -> int:
            super().hear(data, now)
            return 5

    class Slow(Hearer):
        def hear(self, data: bytes, now: float) -> int:
            autojump_clock.jump(2 * ROUND_S)  # as if it took so long
            return 1

    patient, slow = Patient(), Slow()
    async with swept(slow, patient):
        for _ in range(60 * BEATS_A_ROUND):
            slow.far.send(b".")
            patient.far.send(b".")
            await trio.sleep(BEAT_S)
    waits = [later - sooner for (sooner, _), (later, _) in pairwise(patient.heard)]
    assert len(waits) > 5
    assert max(waits) <= 5 * ROUND_S + 3 * ROUND_S, "one late round at the most is waited for, and not five"


async def test_in_a_long_round_others_have_their_turn(autojump_clock: MockClock) -> None:
    turns: list[int] = []
    lines = [Hearer() for _ in range(3 * STRETCH // SHARE)]
    for line in lines:
        line.near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        line.far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        line.far.send(b"x" * SHARE)

    async def another() -> None:
        while True:
            turns.append(sum(bool(line.heard) for line in lines))
            await trio.lowlevel.checkpoint()

    sweep = Sweep()
    async with trio.open_nursery() as nursery:
        for line in lines:
            nursery.start_soon(lambda line=line: sweep.listen(line.near.fileno(), line))
        await wait_all_tasks_blocked()
        nursery.start_soon(sweep.run)
        autojump_clock.jump(ROUND_S)
        with trio.move_on_after(ROUND_S):
            nursery.start_soon(another)
            while turns[-1:] != [len(lines)]:
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert any(0 < read < len(lines) for read in turns)
    for line in lines:
        line.close()


async def test_of_a_line_that_gives_way_all_that_waits_is_read_but_not_without_end(autojump_clock: MockClock) -> None:
    line, sweep = Hearer(), Sweep()
    line.near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    line.far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: sweep.listen(line.near.fileno(), line))
        await wait_all_tasks_blocked()
        line.far.send(b"x" * (2 * SHARE + 1))
        sweep.look(line)
        assert [len(data) for data in line.data] == [SHARE, SHARE, 1]
        line.far.send(b"x" * (2 * LAST_SHARES * SHARE))
        sweep.look(line)
        assert len(line.data) == 3 + LAST_SHARES
        nursery.cancel_scope.cancel()
    line.close()
