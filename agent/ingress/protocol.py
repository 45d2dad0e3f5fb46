"""The slow lane, without the socket: the full WebSocket protocol (wsproto), with our bounds around it.

It reads whatever the fast lane does not, and frames everything that we say, whichever lane reads. A peer's message may
come in any number of fragments, with pings between them; one beyond the limit, or anything the protocol forbids, ends
the conversation with the code that names it.
"""

from dataclasses import dataclass

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage

MESSAGE_LIMIT = 64 * 1024
"""Bytes. A carrier's media messages have about 350."""
TOO_BIG = 1009


@dataclass(frozen=True, slots=True)
class Ended:
    """The conversation is over."""

    code: int
    """Of the close frame: the peer's own, or the one that names what the peer did wrong."""
    by_peer: bool
    """The peer closed; else it was closed upon, for breaking the protocol."""


class Protocol:
    """One socket's, after the handshake."""

    def __init__(self) -> None:
        self._connection = Connection(ConnectionType.SERVER)
        self._parts: list[str | bytes] = []
        self._size = 0
        self.answers = bytearray()
        """What is to be sent in answer: pongs, and a close frame at the end."""
        self.ended: Ended | None = None

    def feed(self, data: bytes) -> list[str | bytes]:
        """The messages that are whole now, texts and binaries; none behind the end."""
        messages: list[str | bytes] = []
        if self.ended is None:
            self._connection.receive_data(data)
            for event in self._connection.events():
                if self.ended is None:
                    self._take(event, messages)
        return messages

    def _take(self, event: Event, messages: list[str | bytes]) -> None:
        if isinstance(event, TextMessage | BytesMessage):
            self._parts.append(event.data if isinstance(event.data, str) else bytes(event.data))
            self._size += len(event.data)
            if self._size > MESSAGE_LIMIT:
                self._parts.clear()
                self._end(TOO_BIG, f"a message is longer than {MESSAGE_LIMIT} bytes", by_peer=False)
            elif event.message_finished:
                messages.append(self._whole())
        elif isinstance(event, Ping):
            if self._connection.state is ConnectionState.OPEN:
                self.answers += self._connection.send(event.response())
        elif isinstance(event, CloseConnection):
            by_peer = self._connection.state is not ConnectionState.OPEN
            self._end(event.code, event.reason or "", by_peer=by_peer)

    def _whole(self) -> str | bytes:
        parts, self._parts, self._size = self._parts, [], 0
        if isinstance(parts[0], str):
            return "".join(part for part in parts if isinstance(part, str))
        return b"".join(part for part in parts if isinstance(part, bytes))

    def _end(self, code: int, reason: str, *, by_peer: bool) -> None:
        self.ended = Ended(int(code), by_peer)
        self.answers += self.close(code, reason)

    def take_answers(self) -> bytes:
        """The answers, once."""
        answers, self.answers = bytes(self.answers), bytearray()
        return answers

    def say(self, text: str) -> bytes:
        """A text message of ours, framed. Raises wsproto's LocalProtocolError once either side has closed."""
        return self._connection.send(TextMessage(text))

    def close(self, code: int, reason: str) -> bytes:
        """Our close frame, which answers the peer's where that has come; nothing where it was said before."""
        if self._connection.state not in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
            return b""
        return self._connection.send(CloseConnection(code, reason or None))
