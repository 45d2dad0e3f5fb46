"""The timeline on disk: it survives rotation, a full disk and a killed process. Real threads, so the real clock."""

import errno
import json
import os
import shutil
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import LedgerUnavailable
from agent.ledger import jsonl, reading
from agent.ledger.jsonl import JsonlLedger, open_jsonl
from agent.ledger.memory import CALLS_KEPT, MemoryLedger, is_milestone
from agent.ledger.reading import CURRENT, calls_ending, files, follow, lines_of_call, milestones


def line(call_sid: str, event: str = "audio.chunk", **fields: object) -> bytes:
    """As `CallTimeline` writes it."""
    entry = {"t": 0, "at": "2026-01-01T00:00:00.000Z", "callSid": call_sid, "event": event, **fields}
    return json.dumps(entry, separators=(",", ":")).encode()


def numbered(call_sid: str, numbers: range) -> list[bytes]:
    return [line(call_sid, n=n) for n in numbers]


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[JsonlLedger]:
    """A ledger whose test cannot hang."""
    with trio.fail_after(10):
        async with open_jsonl(folder) as ledger:
            yield ledger


async def append(ledger: JsonlLedger, call_sid: str, lines: list[bytes]) -> None:
    for one in lines:
        ledger.append(call_sid, one)
    await ledger.flush()


def write(folder: Path, data: bytes) -> None:
    folder.mkdir(exist_ok=True)
    with (folder / CURRENT).open("ab") as file:
        file.write(data)


# --- Keeping ---


async def test_lines_survive_the_ledger_that_wrote_them(tmp_path: Path) -> None:
    async with opened(tmp_path / "not" / "there" / "yet") as ledger:
        for one in numbered("CA1", range(100)):
            ledger.append("CA1", one)
    async with opened(tmp_path / "not" / "there" / "yet") as ledger:
        assert await ledger.timeline("CA1") == numbered("CA1", range(100))


async def test_what_was_flushed_is_on_disk(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        await append(ledger, "CA1", numbered("CA1", range(3)))
        assert (tmp_path / CURRENT).read_bytes().splitlines() == numbered("CA1", range(3))


async def test_reading_a_call_back_waits_for_no_tick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "WRITE_EVERY_S", 3600.0)
    async with opened(tmp_path) as ledger:
        for count in range(1, 6):
            ledger.append("CA1", line("CA1"))
            assert len(await ledger.timeline("CA1")) == count


async def test_the_files_are_nobody_elses_to_read(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        await append(ledger, "CA1", [line("CA1")])
    assert (tmp_path / CURRENT).stat().st_mode & 0o077 == 0


async def test_appending_never_waits_and_the_lines_are_written_soon_without_being_asked_for(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        ledger.append("CA1", line("CA1"))
        while not (tmp_path / CURRENT).stat().st_size:  # noqa: ASYNC110 - a file tells nobody
            await trio.sleep(0.02)


# --- Reading back ---


async def test_one_call_among_many_is_read_back_in_order(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        for n in range(50):
            for call in ("CA1", "CA2", "CA3"):
                ledger.append(call, line(call, n=n))
        assert await ledger.timeline("CA2") == numbered("CA2", range(50))
        assert await ledger.timeline("CA9") == []


async def test_an_id_that_another_one_ends_with_is_its_own_call(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        await append(ledger, "CA11", [line("CA11"), line("A11"), line("1")])
        assert await ledger.timeline("A11") == [line("A11")]
        assert await ledger.timeline("11") == []


def test_the_command_line_may_name_a_call_by_the_end_of_its_id(tmp_path: Path) -> None:
    write(tmp_path, line("CA123") + b"\n" + line("CA456") + b"\n")
    assert calls_ending(tmp_path, "23") == {"CA123"}
    write(tmp_path, line("CA923") + b"\n")
    assert calls_ending(tmp_path, "23") == {"CA123", "CA923"}
    assert calls_ending(tmp_path, "CA123") == {"CA123"}


@pytest.mark.parametrize("said", ['CA1","event":', '"callSid":"CA1","event":"call.ended"', "CA1\nCA1", "\\"])
async def test_what_is_said_in_one_call_is_never_taken_for_another(tmp_path: Path, said: str) -> None:
    async with opened(tmp_path) as ledger:
        await append(ledger, "CA2", [line("CA2", "tts.started", text=said)])
        assert await ledger.timeline("CA1") == []
        assert await ledger.milestones() == []


async def test_the_milestones_are_the_first_and_last_lines_of_every_call(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        for call in ("CA1", "CA2"):
            await append(ledger, call, [line(call, "call.started"), *numbered(call, range(9))])
        await append(ledger, "CA1", [line("CA1", "call.ended")])
        assert await ledger.milestones() == [
            line("CA1", "call.started"),
            line("CA2", "call.started"),
            line("CA1", "call.ended"),
        ]


@pytest.mark.parametrize(
    ("event", "is_one"),
    [("call.started", True), ("call.ended", True), ("audio.chunk", False), ("call.somehow", False)],
)
def test_a_milestone_begins_or_ends_a_call(event: str, is_one: bool) -> None:
    assert is_milestone(line("CA1", event)) is is_one


async def test_only_the_newest_lines_of_an_endless_call_are_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LINES_SHOWN", 5)
    async with opened(tmp_path) as ledger:
        await append(ledger, "CA1", numbered("CA1", range(20)))
        assert await ledger.timeline("CA1") == numbered("CA1", range(15, 20))


# --- Rotation ---


async def test_files_are_rotated_by_size_and_the_oldest_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl, "ROTATE_AT", 500)
    monkeypatch.setattr(jsonl, "FILES_KEPT", 3)
    async with opened(tmp_path) as ledger:
        for start in range(0, 100, 10):
            await append(ledger, "CA1", numbered("CA1", range(start, start + 10)))
        assert len(files(tmp_path)) == 4
        assert await ledger.timeline("CA1") == numbered("CA1", range(60, 100))


# --- A process that was killed ---


async def test_a_torn_last_line_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, line("CA1", n=1) + b"\n" + line("CA1", n=2)[:-5])
    assert lines_of_call(tmp_path, "CA1") == [line("CA1", n=1)]
    assert milestones(tmp_path) == []


async def test_a_torn_last_line_does_not_spoil_the_first_line_after_it(tmp_path: Path) -> None:
    write(tmp_path, line("CA1", n=1) + b"\n" + line("CA1", n=2)[:-5])
    async with opened(tmp_path) as ledger:
        await append(ledger, "CA2", [line("CA2", "call.started")])
        assert await ledger.milestones() == [line("CA2", "call.started")]


@given(st.integers(0, 200), st.binary(max_size=30))
def test_reading_back_survives_whatever_stands_in_the_file(
    tmp_path_factory: pytest.TempPathFactory, cut: int, junk: bytes
) -> None:
    folder = tmp_path_factory.mktemp("ledger")
    write(folder, junk + b"\n" + (line("CA1", n=1) + b"\n" + line("CA1", n=2) + b"\n")[:cut])
    assert all(found.endswith(b"}") for found in lines_of_call(folder, "CA1"))
    milestones(folder)


# --- A disk that is full, slow or gone ---


@contextmanager
def disk(monkeypatch: pytest.MonkeyPatch, *, takes: int) -> Iterator[None]:
    """A disk that is full after so many more bytes."""
    real_write, left = os.write, [takes]

    def write(descriptor: int, data: bytes) -> int:
        if left[0] == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real_write(descriptor, bytes(data[: left[0]]))
        left[0] -= written
        return written

    with monkeypatch.context() as patched:
        patched.setattr("agent.ledger.jsonl.os.write", write)
        yield


async def test_a_full_disk_is_said_and_costs_no_line_when_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as ledger:
        with disk(monkeypatch, takes=0):
            ledger.append("CA1", line("CA1", n=0))
            with pytest.raises(LedgerUnavailable, match=r"No space left on device.*CALLMOOD_DATA"):
                await ledger.flush()
            ledger.append("CA1", line("CA1", n=1))
        await append(ledger, "CA1", [line("CA1", n=2)])
        assert await ledger.timeline("CA1") == numbered("CA1", range(3))
        assert ledger.dropped == 0


async def test_what_was_half_written_is_taken_off_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path) as ledger:
        await append(ledger, "CA1", [line("CA1", n=0)])
        with disk(monkeypatch, takes=100), pytest.raises(LedgerUnavailable):
            await append(ledger, "CA1", numbered("CA1", range(1, 5)))
        await ledger.flush()
        assert (tmp_path / CURRENT).read_bytes().splitlines() == numbered("CA1", range(5))


async def test_a_write_that_takes_only_part_is_carried_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_write = os.write
    monkeypatch.setattr("agent.ledger.jsonl.os.write", lambda descriptor, data: real_write(descriptor, data[:7]))
    async with opened(tmp_path) as ledger:
        await append(ledger, "CA1", numbered("CA1", range(5)))
        assert await ledger.timeline("CA1") == numbered("CA1", range(5))


async def test_while_the_disk_stands_still_the_oldest_lines_give_way_and_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl, "LINES_WAITING", 10)
    async with opened(tmp_path) as ledger:
        with disk(monkeypatch, takes=0):
            with pytest.raises(LedgerUnavailable):
                await append(ledger, "CA1", numbered("CA1", range(5)))
            for one in numbered("CA1", range(5, 30)):
                ledger.append("CA1", one)
        await ledger.flush()
        assert await ledger.timeline("CA1") == numbered("CA1", range(20, 30))
        assert ledger.dropped == 20


async def test_a_disk_that_stands_still_stops_neither_the_loop_nor_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    monkeypatch.setattr(jsonl, "_append", lambda folder, data: released.wait(20))
    monkeypatch.setattr(jsonl, "LAST_WRITE_S", 0.2)
    try:
        begun = time.monotonic()
        async with opened(tmp_path) as ledger:
            ledger.append("CA1", line("CA1"))
            with trio.move_on_after(0.2) as patience:
                await ledger.flush()
            assert patience.cancelled_caught
        assert time.monotonic() - begun < 5
    finally:
        released.set()


@pytest.mark.parametrize("spoil", ["file in place of the folder", "folder in place of the file"])
async def test_a_folder_that_cannot_be_used_is_said_at_the_start(tmp_path: Path, spoil: str) -> None:
    folder = tmp_path / "data"
    if spoil.startswith("file"):
        folder.write_text("")
    else:
        (folder / CURRENT).mkdir(parents=True)
    with pytest.raises(LedgerUnavailable, match="CALLMOOD_DATA"):
        async with open_jsonl(folder):
            pass


async def test_a_folder_that_vanishes_is_an_unavailable_ledger_and_nothing_worse(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with opened(folder) as ledger:
        (folder / CURRENT).unlink()
        shutil.rmtree(folder)
        with pytest.raises(LedgerUnavailable):
            await append(ledger, "CA1", [line("CA1")])
        folder.mkdir()
        await ledger.flush()
        assert await ledger.timeline("CA1") == [line("CA1")]


async def test_a_ledger_that_is_closed_says_so_and_does_not_hang(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        pass
    ledger.append("CA1", line("CA1"))
    with trio.fail_after(2), pytest.raises(LedgerUnavailable):
        await ledger.flush()


# --- Following ---


@asynccontextmanager
async def following(folder: Path, call_sid: str = "") -> AsyncIterator[trio.MemoryReceiveChannel[bytes]]:
    """The lines another process would see from now on."""
    send, seen = trio.open_memory_channel[bytes](100)

    async def watch() -> None:
        async for one in follow(folder, call_sid):
            send.send_nowait(one)

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            await trio.testing.wait_all_tasks_blocked()
            yield seen
            nursery.cancel_scope.cancel()


async def next_lines(seen: trio.MemoryReceiveChannel[bytes], count: int) -> list[bytes]:
    with trio.fail_after(3):
        return [await seen.receive() for _ in range(count)]


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "FOLLOW_EVERY_S", 0.05)


@pytest.mark.usefixtures("eager")
async def test_following_shows_new_lines_only_and_those_of_one_call_only(tmp_path: Path) -> None:
    write(tmp_path, line("CA1", n=0) + b"\n")
    async with following(tmp_path, "CA1") as seen:
        write(tmp_path, b"".join(line(call, n=1) + b"\n" for call in ("CA2", "CA1", "CA3")))
        assert await next_lines(seen, 1) == [line("CA1", n=1)]


@pytest.mark.usefixtures("eager")
async def test_following_may_begin_before_there_is_a_file_and_waits_for_whole_lines(tmp_path: Path) -> None:
    async with following(tmp_path) as seen:
        write(tmp_path, line("CA1", n=0)[:10])
        await trio.sleep(0.15)
        write(tmp_path, line("CA1", n=0)[10:] + b"\n")
        assert await next_lines(seen, 1) == [line("CA1", n=0)]


@pytest.mark.usefixtures("eager")
async def test_following_goes_on_in_the_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "ROTATE_AT", 500)
    write(tmp_path, b"")
    async with following(tmp_path) as seen, open_jsonl(tmp_path) as ledger:
        for start in range(0, 30, 10):
            await append(ledger, "CA1", numbered("CA1", range(start, start + 10)))
            assert await next_lines(seen, 10) == numbered("CA1", range(start, start + 10))


@pytest.mark.usefixtures("eager")
async def test_following_misses_nothing_that_was_written_just_before_a_rotation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl, "ROTATE_AT", 500)
    write(tmp_path, b"")
    async with following(tmp_path) as seen:
        for start in (0, 10):  # between two looks
            jsonl._append(tmp_path, b"".join(one + b"\n" for one in numbered("CA1", range(start, start + 10))))
        assert await next_lines(seen, 20) == numbered("CA1", range(20))


# --- The ledger that forgets ---


async def test_the_ledger_in_memory_keeps_what_the_one_on_disk_keeps_for_so_many_calls() -> None:
    ledger = MemoryLedger()
    for n in range(CALLS_KEPT + 1):
        ledger.append(f"CA{n}", line(f"CA{n}", "call.started"))
    ledger.append("CA7", line("CA7"))
    await ledger.flush()
    assert await ledger.timeline("CA7") == [line("CA7", "call.started"), line("CA7")]
    assert await ledger.timeline("CA0") == []
    assert len(await ledger.milestones()) == CALLS_KEPT
