"""The lines: from the WebSocket handshake of a media stream to frames in a call's mailbox.

A refused line is accepted first and closed with a code and a reason, because a refused handshake tells Twilio's logs
nothing but "not 101". Everything a peer can do is bounded: the time of the handshake and of the first messages, the
size of a message, the number of messages we cannot read, and the time we grant it to close.
"""

from contextlib import suppress

import structlog
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, wrap_server_stream

from ..calls.call import Call
from ..calls.directory import CallDirectory
from ..core.audio import MediaFrame
from ..core.emotion import Outcome
from ..errors import BadMessage
from ..ports import Relay
from ..telephony.signature import SignatureCheck
from ..telephony.twilio import KeyPressed, LineEnded, LineStarted, MarkPlayed, MediaStream
from .replay import Replayed

log = structlog.get_logger()

MESSAGE_LIMIT = 64 * 1024
"""Bytes. Twilio's media messages have about 350."""
UNSAID_LIMIT = 3 * MESSAGE_LIMIT
"""Bytes on the wire without a whole message: empty fragments and pings weigh nothing in a message's size."""
HANDSHAKE_S = 5.0
START_S = 5.0
"""How long `start`, which carries the token, is waited for."""
CLOSE_S = 1.0
LINGER_S = 0.5
"""How long the peer is given to close first, where it has said that it is done."""
UNREADABLE_LIMIT = 50
"""Messages skipped before the line is closed."""

PREFIX = "/audio-stream/"

Closing = tuple[int, str]
NORMAL: Closing = (1000, "")
BAD_SIGNATURE: Closing = (1008, "Invalid signature")
NOT_FOUND: Closing = (1008, "Session not found")
BAD_TOKEN: Closing = (1008, "Invalid token")
SUPERSEDED: Closing = (1008, "Superseded")
NOT_READING: Closing = (1008, "Not taking data")
UNREADABLE: Closing = (1008, "Too many unreadable messages")
OUR_BUG: Closing = (1011, "Internal error")
DRAINING: Closing = (1012, "Service restart")


class MediaLines:
    """Serves the sockets of media streams."""

    def __init__(self, directory: CallDirectory, signature: SignatureCheck) -> None:
        self._directory, self._signature = directory, signature

    async def serve(self, stream: Replayed, head: bytes) -> None:
        """One connection, from its handshake to its end. `head` is what the door has read of it."""
        async with trio.open_nursery() as nursery:
            socket: WebSocketConnection | None = None
            with trio.move_on_after(HANDSHAKE_S):
                try:
                    request = await wrap_server_stream(
                        nursery, stream, max_message_size=MESSAGE_LIMIT, message_queue_size=4
                    )
                    socket = await request.accept()
                except ConnectionClosed:
                    pass
            if socket is None:
                nursery.cancel_scope.cancel()
                return
            closing = await self._converse(socket, request, host_in(head), stream)
            # Its reader may be in the middle of answering the peer's own close: it ends by itself, or at the deadline.
            nursery.cancel_scope.deadline = trio.current_time() + LINGER_S + CLOSE_S
            if closing == NORMAL:
                await until_closed(socket)
            await socket.aclose(*closing)

    async def _converse(
        self, socket: WebSocketConnection, request: WebSocketRequest, host: str, stream: Replayed
    ) -> Closing:
        """Everything between handshake and close; says how to close."""
        path, _, query = request.path.partition("?")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers} | {"host": host}
        if not self._signature.verify(headers, path, query, websocket=True):
            return BAD_SIGNATURE
        call_sid = path.removeprefix(PREFIX).removesuffix("/")
        call = self._directory.with_line(call_sid)
        if call is None:
            return DRAINING if self._directory.draining else NOT_FOUND
        line = WebSocketLine(socket, call, stream)
        try:
            return await line.read()
        except ConnectionClosed:
            return NORMAL
        except Exception:
            log.exception("line.crashed", call=call_sid)
            call.end(Outcome.CRASHED)
            return OUR_BUG
        finally:
            call.line_ended(line)


async def until_closed(socket: WebSocketConnection) -> None:
    """After an ordinary end the peer closes. Closing at the same moment as it does can lose both closing frames."""
    with trio.move_on_after(LINGER_S), suppress(ConnectionClosed):
        while True:
            await socket.get_message()


def host_in(head: bytes) -> str:
    """The Host header of a request's head, which trio-websocket keeps to itself and a signature is made over."""
    for line in head.split(b"\r\n\r\n", 1)[0].split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"host":
            return value.strip().decode("latin-1")
    return ""


class WebSocketLine:
    """One socket of one call (`ports.Line`)."""

    def __init__(self, socket: WebSocketConnection, call: Call, stream: Replayed) -> None:
        self._socket, self._call, self._stream = socket, call, stream
        self._messages = MediaStream()
        self._unreadable = 0
        self._reading = trio.CancelScope()
        self._closing = NORMAL

    def hang_up(self, code: int, reason: str) -> None:
        self._closing = (code, reason)
        self._reading.cancel()

    async def read(self) -> Closing:
        """Take the call over and pass its frames on until either side ends it. Raises ConnectionClosed."""
        with self._reading:
            started = None
            with trio.move_on_after(START_S):
                started = await self._started()
            if started is None or started.call_sid != self._call.call_sid:
                return BAD_TOKEN
            serial = self._call.redeem(started.token or "")
            if serial is None:
                return BAD_TOKEN
            if not self._call.mailbox.connect(self, serial):
                return SUPERSEDED
            self._call.stream_sid = started.stream_sid
            return await self._talk(started.stream_sid)
        return self._closing

    async def _talk(self, stream_sid: str) -> Closing:
        relay = self._call.relay
        if relay is None:
            return await self._pass_frames_on()
        try:
            async with trio.open_nursery() as talking:
                talking.start_soon(self._play, relay, stream_sid)
                closing = await self._pass_frames_on()
                talking.cancel_scope.cancel()
        except* ConnectionClosed:
            closing = NORMAL
        return closing

    async def _play(self, relay: Relay, stream_sid: str) -> None:
        """Let the caller hear the assistant; the line ends when it takes nothing any more."""
        await relay.play(stream_sid, self._socket.send_message)
        self.hang_up(*NOT_READING)

    async def _started(self) -> LineStarted | None:
        while self._unreadable < UNREADABLE_LIMIT:
            event = await self._next()
            if isinstance(event, LineStarted):
                return event
        return None

    async def _pass_frames_on(self) -> Closing:
        mailbox = self._call.mailbox
        while self._unreadable < UNREADABLE_LIMIT:
            event = await self._next()
            if isinstance(event, MediaFrame):
                mailbox.hear(self, event)
            elif isinstance(event, MarkPlayed) and self._call.relay is not None:
                self._call.relay.played(event.name)
            elif isinstance(event, KeyPressed):
                self._call.key_pressed(event.digit)
            elif isinstance(event, LineEnded):
                return NORMAL
        return UNREADABLE

    async def _next(self) -> object:
        """The next message's event; None for one that cannot be read, which is skipped and counted."""
        self._stream.allowance = UNSAID_LIMIT
        message = await self._socket.get_message()
        try:
            return self._messages.feed(message, trio.current_time())
        except BadMessage as error:
            self._unreadable += 1
            if self._unreadable in (1, UNREADABLE_LIMIT):
                log.warning("line.unreadable", call=self._call.call_sid, reason=str(error), count=self._unreadable)
            return None
