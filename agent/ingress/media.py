"""The lines, from the WebSocket handshake of a media stream to its close.

A refused line is accepted first and closed with a code and a reason, because a refused handshake tells Twilio's logs
nothing but "not 101". Everything a peer can do is bounded: the time of the handshake and of the first messages, the
size of a message, the number of messages we cannot read, how much is read of it at a time, and the time we grant it to
close. Each connection has a task of its own for all this, which is parked while the sweep reads.
"""

import structlog
import trio

from ..calls.call import Call
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
        self._sweep = Sweep(behind=directory.load.lines_behind, over=directory.gathering.round_over)

    async def sweep(self) -> None:
        """Read the lines, until cancelled."""
        await self._sweep.run()

    async def serve(self, stream: trio.SocketStream, head: bytes, rest: bytes) -> None:
        """One connection, from its handshake to its end. `head` is its request's, `rest` what came behind that."""
        asked = await shaken(stream, head)
        if asked is not None:
            socket, call = Socket(stream, rest), self._asked_for(asked)
            del asked, head, rest  # a line is long
            await socket.part(*(call if isinstance(call, tuple) else await self._converse(socket, call)))

    def _asked_for(self, asked: Asked) -> Call | Closing:
        """The call whose line this is to be; or how to close what is none."""
        if not self._signature.verify(asked.headers, asked.path, asked.query, websocket=True):
            return BAD_SIGNATURE
        call = self._directory.with_line(asked.path.removeprefix(PREFIX).removesuffix("/"))
        if call is None:
            return DRAINING if self._directory.draining else NOT_FOUND
        return call

    async def _converse(self, socket: Socket, call: Call) -> Closing:
        """Everything between handshake and close; says how to close."""
        line = SocketLine(socket, call, self._sweep)
        try:
            return await line.read()
        except Exception:
            log.exception("line.crashed", call=call.call_sid)
            call.end(Outcome.CRASHED)
            return OUR_BUG
        finally:
            call.line_ended(line)
