"""The handshake of a media stream: a request whose head has been read becomes a WebSocket, or is told why not."""

from dataclasses import dataclass

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Event, RejectConnection, Request
from wsproto.utilities import RemoteProtocolError

HANDSHAKE_S = 5.0
"""How long our answer may take to be sent; the door has its own patience with the request."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request for a WebSocket asked for."""

    path: str
    query: str
    headers: dict[str, str]
    """Names in lower case."""


async def shaken(stream: trio.SocketStream, head: bytes) -> Asked | None:
    """Answer a request for a WebSocket; no extension or subprotocol that it offers is agreed to. None: it was refused,
    or did not take its answer in time. Raises BrokenResourceError where the peer is gone."""
    protocol = WSConnection(ConnectionType.SERVER)
    asked, answer = examined(protocol, head)
    with trio.move_on_after(HANDSHAKE_S) as patience:
        await stream.send_all(protocol.send(answer))
    return None if patience.cancelled_caught else asked


def examined(protocol: WSConnection, head: bytes) -> tuple[Asked | None, Event]:
    """What a request asked for, and what is to be answered; nothing and a refusal where it is no proper one."""
    try:
        protocol.receive_data(head)
        (request,) = protocol.events()
        if not isinstance(request, Request) or not head.split(b"\r\n", 1)[0].endswith(b"HTTP/1.1"):
            return None, RejectConnection()
        path, _, query = request.target.partition("?")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.extra_headers}
        return Asked(path, query, headers | {"host": host_in(head)}), AcceptConnection()
    except RemoteProtocolError as error:
        return None, error.event_hint or RejectConnection()
    except ValueError:  # a host or a target that is no text
        return None, RejectConnection()


def host_in(head: bytes) -> str:
    """The Host header of a request's head as it stands, over which a signature is made."""
    for line in head.split(b"\r\n\r\n", 1)[0].split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"host":
            return value.strip().decode("latin-1")
    return ""
