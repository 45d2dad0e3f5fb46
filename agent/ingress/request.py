"""The head of a request, and a short body behind it: as much as the door has to know of what goes through it."""

import trio

MEDIA = b"GET /audio-stream/"
URGENT = (b"POST /voice/", b"POST /twilio/")
"""Requests that callers wait for, or calls end by: there is always room for them."""
HEAD_LIMIT = 32 * 1024
"""Bytes of request line and headers."""
MEDIA_HEAD_LIMIT = 8 * 1024
FORM_BYTES = 16 * 1024
"""Of an urgent request's body, which is read at the door: who sends it slowly takes nobody's place."""

_HOP_BY_HOP = (b"connection:", b"keep-alive:", b"proxy-connection:", b"upgrade:", b"te:")
"""Headers between neighbours (RFC 9110, 7.6.1); the relay sends its own."""


async def read_head(stream: trio.abc.ReceiveStream, data: bytearray | None = None) -> tuple[bytes, bytes]:
    """The head up to and with its empty line, and what came behind it; empty when there is no proper one. What has
    been read so far is in `data`, for whoever gives up on it."""
    data = bytearray() if data is None else data
    while len(data) <= (MEDIA_HEAD_LIMIT if data.startswith(MEDIA) else HEAD_LIMIT):
        piece = await stream.receive_some(4096)
        if not piece:
            break
        searched = max(0, len(data) - 3)
        data += piece
        if (end := data.find(b"\r\n\r\n", searched)) >= 0:
            head, rest = bytes(data[: end + 4]), bytes(data[end + 4 :])
            return (head, rest) if is_proper(head) else (b"", b"")
    return b"", b""


async def read_form(stream: trio.abc.ReceiveStream, head: bytes, rest: bytes) -> bytes | None:
    """The body, of which `rest` has come already, where the head promises a short one; None: its sender has gone.
    Where it promises none, or the sender waits to be asked for it, what has come is all."""
    length, data = form_length(head), bytearray(rest)
    while length is not None and len(data) < length:
        if not (piece := await stream.receive_some(length - len(data))):
            return None
        data += piece
    return bytes(data)


def is_urgent(head: bytes, rest: bytes) -> bool:
    """Whether somebody waits for this request, and nothing of it is still to come: it holds a place for moments."""
    length = form_length(head) if head.startswith(URGENT) else None
    return length is not None and len(rest) >= length


def form_length(head: bytes) -> int | None:
    """Bytes of body that are promised; None: it is not said, or it is too much, or comes only when we ask for it."""
    lengths: set[bytes] = set()
    for line in head.lower().split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name in (b"transfer-encoding", b"expect"):
            return None
        if name == b"content-length":
            lengths.add(value.strip())
    said = lengths.pop() if lengths else b"0"
    if lengths or not said.isdigit() or len(said) > len(str(FORM_BYTES)):
        return None
    return length if (length := int(said)) <= FORM_BYTES else None


def is_proper(head: bytes) -> bool:
    """Whether it is one request's, and everybody behind us will read it as we do: our line ends, our kind of target."""
    method, _, line = head.split(b"\r\n", 1)[0].partition(b" ")
    target, _, version = line.rpartition(b" ")
    bare = head.count(b"\n") != head.count(b"\r\n") or head.count(b"\r") != head.count(b"\r\n")
    return bool(method) and target.startswith(b"/") and version in (b"HTTP/1.1", b"HTTP/1.0") and not bare


def rewritten(head: bytes, peer: str) -> bytes:
    """The head as Hypercorn gets it: one request on this connection, and where it came from."""
    line, *headers = head[:-4].split(b"\r\n")
    kept = [header for header in headers if not header.lower().startswith(_HOP_BY_HOP)]
    forwarded = [header.split(b":", 1)[1].strip() for header in kept if header.lower().startswith(b"x-forwarded-for:")]
    kept = [header for header in kept if not header.lower().startswith(b"x-forwarded-for:")]
    chain = b", ".join([*forwarded, peer.encode()])
    return b"\r\n".join([line, *kept, b"X-Forwarded-For: " + chain, b"Connection: close", b"", b""])
