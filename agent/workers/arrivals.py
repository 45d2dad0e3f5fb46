"""What has been read of a request before somebody decides whose it is.

The path of most requests names the call. Some name it in their body, which has to be read first: a short one in memory,
a long one into a file. Nobody's body is read here whose headers could not prove anything: such a request is answered
where it came in, which refuses it.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

import h11
import trio

SMALL = 64 * 1024
"""Bytes of body that are read into memory."""
LARGEST = 10 * 1024 * 1024
"""Bytes of body that are read at all; framing included. A larger one is refused where it came in."""
PIECE = 4096
"""Bytes read at a time: the worst of them, chunks of one byte each, take milliseconds."""
CHUNKS = 4 * 1024
"""Of one body: with more its framing is more work than it is, and it is answered where it came in."""
FILES = 16
"""Long bodies at once."""

Headers = Mapping[str, str]


@dataclass(slots=True, eq=False)
class Arrival:
    """One request, as far as it has been read."""

    head: bytes
    rest: bytearray
    """What came behind the head, as it came; empty where it is in the file."""
    file: BinaryIO | None = None
    headers: Headers = field(default_factory=dict)
    """By their names in lower case."""
    chunked: bool = False

    @property
    def method(self) -> bytes:
        return self.head.partition(b" ")[0]

    @property
    def target(self) -> str:
        return self.head.split(b" ", 2)[1].decode("latin-1")

    def body(self) -> bytes:
        """The body itself, without the framing of chunks. Where it lies in a file this reads the disk."""
        raw = bytes(self.rest)
        if self.file is not None:
            self.file.seek(0)
            raw = self.file.read()
            self.file.seek(0)
        if not self.chunked:
            return raw
        request = h11.Connection(h11.SERVER)
        request.receive_data(self.head + raw)
        pieces = bytearray()
        while type(event := request.next_event()) in (h11.Request, h11.Data):
            if isinstance(event, h11.Data):
                pieces += event.data
        return bytes(pieces)

    def close(self) -> None:
        if self.file is not None:
            self.file.close()


class Reading:
    """Reads bodies, a bounded number of long ones at a time."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._files = trio.CapacityLimiter(FILES)

    async def read(
        self,
        stream: trio.SocketStream,
        arrival: Arrival,
        proves: Callable[[Headers], bool],
        within_s: float,
        largest: int = LARGEST,
    ) -> bool:
        """Read the body, if it is of use: whether it is there, whole, and of no more than `largest` bytes."""
        request = h11.Connection(h11.SERVER, max_incomplete_event_size=len(arrival.head) + SMALL)
        try:
            request.receive_data(arrival.head)
            head = request.next_event()
            if not isinstance(head, h11.Request):
                return False
            arrival.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
            arrival.chunked = "transfer-encoding" in arrival.headers
            if not proves(arrival.headers) or int(arrival.headers.get("content-length", "0")) > largest:
                return False
            if request.they_are_waiting_for_100_continue:
                await stream.send_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                arrival.head = without_expect(arrival.head)
            with trio.move_on_after(within_s):
                if arrival.rest:  # nothing would mean the end to it
                    request.receive_data(bytes(arrival.rest))
                return await self._read_body(stream, arrival, request, largest)
        except h11.RemoteProtocolError:
            pass  # whoever answers says so
        return False

    async def _read_body(
        self, stream: trio.SocketStream, arrival: Arrival, request: h11.Connection, largest: int
    ) -> bool:
        length, chunks = len(arrival.rest), 0
        try:
            while True:
                while isinstance(event := request.next_event(), h11.Data):
                    chunks += event.chunk_start
                if isinstance(event, h11.EndOfMessage):
                    return length <= largest and chunks <= CHUNKS
                if event is not h11.NEED_DATA or length > largest or chunks > CHUNKS:
                    return False
                piece = await stream.receive_some(PIECE)
                length += len(piece)
                arrival.rest += piece
                if len(arrival.rest) > SMALL:
                    await self._put_away(arrival)
                request.receive_data(piece)
        finally:
            if arrival.file is not None:
                self._files.release_on_behalf_of(arrival)
                with trio.CancelScope(shield=True):  # a file is quick, and what has been read must not be lost
                    await trio.to_thread.run_sync(_append, arrival)
                arrival.file.seek(0)

    async def _put_away(self, arrival: Arrival) -> None:
        """What has been read goes into the file. Where too many have one already, this waits."""
        if arrival.file is None:
            await self._files.acquire_on_behalf_of(arrival)
            try:
                arrival.file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - it goes on with its request
            except OSError:  # a full disk: the place is for whoever comes when there is room again
                self._files.release_on_behalf_of(arrival)
                raise
        await trio.to_thread.run_sync(_append, arrival)


def _append(arrival: Arrival) -> None:
    assert arrival.file is not None
    arrival.file.write(arrival.rest)
    arrival.file.flush()
    arrival.rest.clear()


def without_expect(head: bytes) -> bytes:
    """The head without the question that has been answered."""
    lines = head.split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.lower().startswith(b"expect:"))
