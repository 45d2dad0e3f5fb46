"""What workers say to each other: framed messages over a unix socket, some with open files attached (SCM_RIGHTS).

A message whose files came but whose bytes did not come whole has never been said: its files are closed again. So who
could not send all of a message may still keep what was to be handed over.
"""

import array
import os
import socket
import struct
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import trio

LONGEST = 32 << 20
"""Bytes of one message: the largest is the list of a worker's live calls."""
FILES_AT_MOST = 2
_LENGTH = struct.Struct(">I")
_PIECE = 64 * 1024


class Wire:
    """One connection between two workers. Everything that waits raises OSError or trio.BrokenResourceError where the
    other is gone, which `GONE` names."""

    def __init__(self, sock: trio.socket.SocketType) -> None:
        self._socket = sock
        self._data = bytearray()
        self._files: list[int] = []

    async def send(self, message: bytes, files: Sequence[int] = ()) -> None:
        """The files go with the first byte, as copies: ours are still ours to close."""
        data = memoryview(_LENGTH.pack(len(message)) + message)
        attached = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else []
        sent = await self._socket.sendmsg([data], attached)
        while sent < len(data):
            sent += await self._socket.send(data[sent:])

    async def receive(self) -> bytes | None:
        """The next message; None: the other has ended the conversation."""
        while True:
            if len(self._data) >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(self._data)
                if length > LONGEST:
                    raise trio.BrokenResourceError("a message that is too long")
                if len(self._data) >= _LENGTH.size + length:
                    message = bytes(self._data[_LENGTH.size : _LENGTH.size + length])
                    del self._data[: _LENGTH.size + length]
                    return message
            room = socket.CMSG_SPACE(FILES_AT_MOST * array.array("i").itemsize)
            data, attached, _, _ = await self._socket.recvmsg(_PIECE, room, socket.MSG_CMSG_CLOEXEC)
            for level, kind, content in attached:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    self._files += array.array("i", content[: len(content) - len(content) % 4])
            if not data:
                return None
            self._data += data

    def files(self) -> list[int]:
        """The files that came so far, which are now the caller's to close."""
        files, self._files = self._files, []
        return files

    def close(self) -> None:
        """Also closes what came and nobody took."""
        for file in self.files():
            os.close(file)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


GONE = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)
"""What goes wrong on a wire whose other end has died, or was never there."""


def connection(file: int) -> trio.SocketStream:
    """A connection that came as a file, which it owns from now on."""
    return trio.SocketStream(trio.socket.from_stdlib_socket(socket.socket(fileno=file)))


async def dial(path: str) -> Wire:
    """A conversation with whoever listens there. Raises OSError."""
    sock = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        await sock.connect(path)
    except BaseException:
        sock.close()
        raise
    return Wire(sock)
