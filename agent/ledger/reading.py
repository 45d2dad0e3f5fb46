"""Reading the files of JSON lines back, in this process or another: whole calls, their milestones, what comes in.

Nothing here locks anything: the writer only ever appends whole lines and renames files, and a line without its end is
not there yet.
"""

import mmap
import os
from collections import deque
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO

import trio

from .memory import STARTED, is_milestone

CURRENT = "timeline.jsonl"
LINES_SHOWN = 20_000
"""Lines of one call read back at the most: an hour of readings."""
FOLLOW_EVERY_S = 0.2


def files(folder: Path) -> list[Path]:
    """The files of the ledger, oldest first."""
    return [*sorted(folder.glob("timeline-*.jsonl")), *([folder / CURRENT] if (folder / CURRENT).exists() else [])]


def calls_ending(folder: Path, ending: str) -> set[str]:
    """The ids that end like this; one that is the whole id is the only one meant."""
    lines = _lines_with(folder, _of_call(ending, or_ending=True))
    found = {line.split(b'"callSid":"', 1)[1].split(b'"', 1)[0].decode() for line in lines if b'"callSid":"' in line}
    return {ending} if ending in found else found


def lines_of_call(folder: Path, call_sid: str) -> list[bytes]:
    """The lines of one call. An id that was used again names the latest of its calls."""
    lines: deque[bytes] = deque(maxlen=LINES_SHOWN)
    for line in _lines_with(folder, _of_call(call_sid, or_ending=False)):
        if STARTED in line:
            lines.clear()
        lines.append(line)
    return list(lines)


def milestones(folder: Path) -> list[bytes]:
    """The first and last line of every call."""
    return [line for line in _lines_with(folder, b'"event":"call.') if is_milestone(line)]


async def follow(folder: Path, call_sid: str = "") -> AsyncIterator[bytes]:
    """Lines as they are written from now on, of one call (its id, or the end of it) or of all."""
    follower = Follower(folder, _of_call(call_sid, or_ending=True) if call_sid else b"")
    try:
        while True:
            for line in follower.poll():
                yield line
            await trio.sleep(FOLLOW_EVERY_S)
    finally:
        follower.close()


class Follower:
    """The end of the current file, and of the one that takes its place when it is rotated away."""

    def __init__(self, folder: Path, needle: bytes) -> None:
        self._path, self._needle = folder / CURRENT, needle
        self._torn = b""
        self._file = self._open()
        if self._file is not None:
            self._file.seek(0, os.SEEK_END)

    def poll(self) -> list[bytes]:
        """What has come since the last time."""
        lines = self._read()
        if self._rotated():
            lines += self._read()  # what was written between our reading and the renaming
            self.close()
            self._file, self._torn = self._open(), b""
            lines += self._read()
        return lines

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _open(self) -> BinaryIO | None:
        try:
            return self._path.open("rb")
        except FileNotFoundError:
            return None

    def _rotated(self) -> bool:
        try:
            current = self._path.stat()
        except FileNotFoundError:
            return False
        return self._file is None or not os.path.samestat(os.fstat(self._file.fileno()), current)

    def _read(self) -> list[bytes]:
        if self._file is None:
            return []
        *lines, self._torn = (self._torn + self._file.read()).split(b"\n")
        return [line for line in lines if line and self._needle in line]


def _of_call(call_sid: str, *, or_ending: bool) -> bytes:
    start = "" if or_ending else '"callSid":"'
    return f'{start}{call_sid}","event":'.encode()


def _lines_with(folder: Path, needle: bytes) -> Iterator[bytes]:
    """The complete lines that hold a text, in order. Files that vanish meanwhile are passed over."""
    for path in files(folder):
        try:
            with path.open("rb") as file:
                if path.stat().st_size == 0:
                    continue
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                    at = data.find(needle)
                    while at >= 0:
                        start, end = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at)
                        if end < 0:
                            break
                        yield data[start:end]
                        at = data.find(needle, end)
        except FileNotFoundError:
            continue
