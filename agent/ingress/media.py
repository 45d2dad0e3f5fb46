"""The lines, from the WebSocket handshake of a media stream to its close.

A refused line is accepted first and closed with a code and a reason, because a refused handshake tells Twilio's logs
nothing but "not 101". Everything a peer can do is bounded: the time of the handshake and of the first messages, the
size of a message, the number of messages we cannot read, how much is read of it at a time, and the time we grant it to
close. Each connection has a task of its own for all this, which is parked while the sweep reads.
"""

import structlog
import trio

from ..calls.directory import CallDirectory
from ..core.emotion import Outcome
from ..telephony.signature import SignatureCheck
from .handshake import Asked, shaken
from .line import SocketLine
from .socket import Closing, Socket
from .sweep import Sweep

log = structlog.get_logger()

PREFIX = "/audio-stream/"

BAD_SIGNATURE: Closing = (1008, "Invalid signature")
NOT_FOUND: Closing = (1008, "Session not found")
OUR_BUG: Closing = (1011, "Internal error")
DRAINING: Closing = (1012, "Service restart")


class MediaLines:
    """Serves the sockets of media streams, for as long as `sweep` runs."""

    def __init__(self, directory: CallDirectory, signature: SignatureCheck) -> None:
        self._directory, self._signature = directory, signature
        self._sweep = Sweep(behind=directory.load.lines_behind)

    async def sweep(self) -> None:
        """Read the lines, until cancelled."""
        await self._sweep.run()

    async def serve(self, stream: trio.SocketStream, head: bytes, rest: bytes) -> None:
        """One connection, from its handshake to its end. `head` is its request's, `rest` what came behind that."""
        asked = await shaken(stream, head)
        if asked is not None:
            socket = Socket(stream, rest)
            await socket.part(*await self._converse(socket, asked))

    async def _converse(self, socket: Socket, asked: Asked) -> Closing:
        """Everything between handshake and close; says how to close."""
        if not self._signature.verify(asked.headers, asked.path, asked.query, websocket=True):
            return BAD_SIGNATURE
        call_sid = asked.path.removeprefix(PREFIX).removesuffix("/")
        call = self._directory.with_line(call_sid)
        if call is None:
            return DRAINING if self._directory.draining else NOT_FOUND
        line = SocketLine(socket, call, self._sweep)
        try:
            return await line.read()
        except Exception:
            log.exception("line.crashed", call=call_sid)
            call.end(Outcome.CRASHED)
            return OUR_BUG
        finally:
            call.line_ended(line)
