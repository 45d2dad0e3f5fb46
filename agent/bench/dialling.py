"""How a call of the load comes about: signed webhook, signed handshake, `connected` and `start`, as Twilio does it.

Once it is open, the socket is used as it is, without waiting: fifty times a second for each of hundreds of calls is no
place for a task of its own.
"""

import secrets
import socket
from base64 import b64encode
from dataclasses import dataclass
from urllib.parse import urlsplit

import trio
from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

from ..errors import CallmoodError
from ..http import httpx
from ..telephony.twiml import StreamPlan
from ..testing import twilio_messages as messages
from ..testing.twilio_caller import VOICE_PATH, TwilioCaller
from ..testing.twilio_requests import Requests

DIAL_S = 20.0
"""For the whole of it: Twilio waits no longer for a webhook."""


@dataclass(frozen=True, slots=True)
class Server:
    """Whom the load calls."""

    url: str
    auth_token: str | None = None
    """What Twilio signs with; None: a plain WebSocket server, without a webhook and signatures."""
    token: str = ""
    """Where it is set, every call is told by this token that nobody may listen to it: then all that is left of the
    service is how audio comes in."""


@dataclass(slots=True)
class Dialled:
    """An open call, before its first frame."""

    call_sid: str
    stream_sid: str
    socket: socket.socket
    """Never waits."""
    protocol: Connection
    """For whatever is no media message, either way."""


async def dial(server: Server, http: httpx.AsyncClient) -> Dialled:
    """Raises CallmoodError when the server does not take the call."""
    with trio.move_on_after(DIAL_S):
        return await _dial(server, http)
    raise CallmoodError(f"{server.url} did not take a call within {DIAL_S:g} s: the machine is too busy")


async def _dial(server: Server, http: httpx.AsyncClient) -> Dialled:
    caller = TwilioCaller(server.url, auth_token=server.auth_token, http=http)
    plan = await _plan(server, caller)
    requests = Requests(server.url, server.url + VOICE_PATH, server.auth_token, http)
    asked = requests.stream_url(plan.url)
    target, headers = requests.upgrade(asked)
    plain = socket.socket()
    try:
        await _connect(plain, server.url, target, asked.netloc, headers)
        call = Dialled(caller.call_sid, "MZ" + secrets.token_hex(16), plain, Connection(ConnectionType.CLIENT))
        start = messages.start(caller.who, plan, call.stream_sid, 1)
        plain.send(b"".join(call.protocol.send(TextMessage(text)) for text in (messages.CONNECTED, start)))
        if server.token:
            await _unheard(server, call.call_sid, http)
    except OSError as error:
        plain.close()
        raise CallmoodError(f"{server.url} broke off a call ({error.strerror}): is it still running?") from None
    except BaseException:
        plain.close()
        raise
    return call


async def _unheard(server: Server, call_sid: str, http: httpx.AsyncClient) -> None:
    asked = await http.post(
        f"{server.url}/calls/{call_sid}/actions",
        json={"action": "stop_analysis"},
        headers={"Authorization": f"Bearer {server.token}"},
    )
    if asked.status_code != 202:
        raise CallmoodError(f"{server.url} would not stop listening to a call ({asked.status_code})")


async def _plan(server: Server, caller: TwilioCaller) -> StreamPlan:
    if server.auth_token is None:
        return StreamPlan(f"/audio-stream/{caller.call_sid}", {"callSid": caller.call_sid}, None, "Connect")
    placed = await caller.place()
    if placed.plan is None:
        raise CallmoodError(f"{server.url} did not take a call: {placed.error or 'it sends callers on'}")
    return placed.plan


async def _connect(plain: socket.socket, server: str, target: str, host: str, headers: list[tuple[str, str]]) -> None:
    """Connect, and the opening handshake (RFC 6455, 4.1), without extensions. Of the answer only the status is looked
    at. Trio waits for the socket until it is open; from then on it is used as it is."""
    parts = urlsplit(server)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line = trio.socket.from_stdlib_socket(plain)
    await line.connect((parts.hostname, parts.port))
    wanted = {
        "Host": host,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": b64encode(secrets.token_bytes(16)).decode(),
        "Sec-WebSocket-Version": "13",
        **dict(headers),
    }
    request = f"GET {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in wanted.items())
    await line.send((request + "\r\n").encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = await line.recv(4096)
        if not piece or len(answer) > 65_536:
            raise CallmoodError("the server broke off a WebSocket handshake")
        answer += piece
    if b" 101 " not in answer.split(b"\r\n", 1)[0] + b" ":
        raise CallmoodError(f"the server refused a WebSocket: {answer.split(b' ', 2)[1].decode('latin-1')}")
