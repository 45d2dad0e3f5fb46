"""A connection whose beginning has been read, shown again to whoever it was handed to."""

from math import inf

import trio


class Replayed(trio.abc.Stream):
    """A connection of which something has been read, as if it had not."""

    def __init__(self, stream: trio.SocketStream, seen: bytes) -> None:
        self._stream, self._seen = stream, seen
        self.allowance = inf
        """Bytes that may still come before the connection counts as broken; whoever reads what they carry renews it."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if self._seen:
            await trio.lowlevel.checkpoint()
            seen, self._seen = self._seen[:max_bytes], self._seen[max_bytes:] if max_bytes else b""
            return seen
        data = await self._stream.receive_some(max_bytes)
        self.allowance -= len(data)
        if self.allowance < 0:
            raise trio.BrokenResourceError("too much came that says nothing")
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()
