"""Odd, hostile and ambiguous HTTP through the one listening port.

Two rules hold for everything here: a connection gets one answer at the most, because the relay in front and the server
behind must never disagree where a request ends; and what is refused is refused with a 4xx, not by failing.
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from xml.etree import ElementTree as ET

import trio

from agent.telephony import twiml

from .raw_line import end, placed
from .table import Breach, Cases, attack
from .target import ANSWER_S, FORM_TYPE, Target, finals, send_pieces

POST = b"POST /webhook/emotion HTTP/1.1\r\nHost: a\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n"
SECOND = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
BODY = b'{"callSid":"CA1","emotion":{"label":"angry","score":1}}'

GATHERED_A_SECOND = 250
"""How fast a crowd gathers, before its time begins."""
RING_S = 0.2
"""Between two callers beside it."""
FRAMINGS = (
    "Content-Length: 6000\r\n\r\nC",
    "Content-Length: 60000\r\n\r\nC",
    "Transfer-Encoding: chunked\r\n\r\n1\r\nC\r\n",
    "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
)
"""How a form is announced that does not come: what the door waits for, and what it does not."""

REFUSED = frozenset(range(400, 500)) | {501}
ANY = REFUSED | {200, 204, 303, 308}

AMBIGUOUS: dict[str, tuple[bytes, frozenset[int]]] = {
    "two lengths": (POST + b"Content-Length: 0\r\nContent-Length: 30\r\n\r\n" + SECOND, REFUSED),
    "two lengths in one header": (POST + b"Content-Length: 0, 30\r\n\r\n" + SECOND, REFUSED),
    "a signed length": (POST + b"Content-Length: +5\r\n\r\n12345" + SECOND, REFUSED),
    "a negative length": (POST + b"Content-Length: -1\r\n\r\n" + SECOND, REFUSED),
    "an endless length": (POST + b"Content-Length: " + b"9" * 400 + b"\r\n\r\n", REFUSED),
    "length and chunks": (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND, REFUSED),
    "chunks twice": (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + SECOND, REFUSED),
    "chunks by another name": (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SECOND, REFUSED),
    "chunks behind a tab": (POST + b"Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n" + SECOND, REFUSED),
    "trailers": (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nConnection: keep-alive\r\n\r\n" + SECOND, REFUSED),
    "a folded header": (GET + b"X: a\r\n Connection: keep-alive\r\n\r\n" + SECOND, ANY),
    "a folded connection": (GET + b"Connection:\r\n keep-alive\r\n\r\n" + SECOND, ANY),
    "a space before the colon": (GET + b"Connection : keep-alive\r\n\r\n" + SECOND, REFUSED),
    "a carriage return alone": (GET + b"X: a\rConnection: keep-alive\r\n\r\n" + SECOND, REFUSED),
    "bare line feeds": (b"GET /healthz HTTP/1.1\nHost: a\n\n" + SECOND, REFUSED),
    "bare line feeds before a good head": (
        b"GET /healthz HTTP/1.1\nHost: a\nConnection: keep-alive\n\n" + SECOND + SECOND,
        REFUSED,
    ),
    "a line feed hidden in a header": (GET + b"X: a\n\nGET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", REFUSED),
    "a posted line feed": (
        b"POST /healthz HTTP/1.1\nHost: a\nContent-Length: 0\n\n" + SECOND,
        REFUSED,
    ),
    "an upgrade behind line feeds": (
        b"GET /healthz HTTP/1.1\nHost: a\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c\n"
        b"HTTP2-Settings: AAMAAABk\n\n" + SECOND,
        REFUSED,
    ),
    "pipelining behind a body": (POST + b"Content-Length: 2\r\n\r\n{}" + SECOND * 3, REFUSED),
}

BROKEN: dict[str, tuple[bytes, bool]] = {
    "a chunk length that is none": (POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n", False),
    "a huge chunk length": (POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\nx", False),
    "a chunk without its end": (POST + b"Transfer-Encoding: chunked\r\n\r\n1;a=b;c\r\nx" + SECOND, False),
    "an end within a length": (POST + b"Content-Length: 100\r\n\r\n{", True),
    "an end within a chunk": (POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", True),
    "an end within a head": (GET, True),
    "an end within a form": (b"POST /voice/incoming HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nCallSid=", True),
}
"""Requests that break off in their body, and whether the client closes its sending side behind them."""

ODD: dict[str, tuple[bytes, frozenset[int]]] = {
    "absolute form": (b"GET http://other.example/healthz HTTP/1.1\r\nHost: a\r\n\r\n", ANY),
    "absolute form to media": (
        b"GET http://a/audio-stream/CA1 HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
        REFUSED,
    ),
    "absolute form that is none": (b"GET http://[ HTTP/1.1\r\nHost: a\r\n\r\n", REFUSED),
    "two slashes": (b"GET //other.example/live HTTP/1.1\r\nHost: a\r\n\r\n", REFUSED),
    "the HTTP/2 preface as HTTP/1.1": (b"PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n", REFUSED),
    "options star": (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", ANY),
    "connect": (b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n", REFUSED),
    "trace": (b"TRACE /healthz HTTP/1.1\r\nHost: a\r\nX-Secret: b\r\n\r\n", REFUSED),
    "a method of its own": (b"FROBNICATE /healthz HTTP/1.1\r\nHost: a\r\n\r\n", REFUSED),
    "a long method": (b"G" * 8000 + b" /healthz HTTP/1.1\r\nHost: a\r\n\r\n", REFUSED),
    "no host": (b"GET /healthz HTTP/1.1\r\n\r\n", REFUSED),
    "two hosts": (b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", REFUSED),
    "an odd host": (b"GET /live HTTP/1.1\r\nHost: a/../b\\@c\r\n\r\n", REFUSED),
    "HTTP/0.9": (b"GET /healthz\r\n\r\n", REFUSED),
    "HTTP/1.7": (b"GET /healthz HTTP/1.7\r\nHost: a\r\n\r\n", REFUSED),
    "a NUL in the path": (b"GET /calls/\x00 HTTP/1.1\r\nHost: a\r\n\r\n", REFUSED),
    "a NUL in a header": (GET + b"X: a\x00b\r\n\r\n", REFUSED),
    "a header without a name": (GET + b": b\r\n\r\n", REFUSED),
    "bytes beyond ASCII in a header": (GET + b"X: \xff\xfe\r\nCookie: \xc3\x28=\xff\r\n\r\n", ANY),
    "a percent sign that is none": (b"GET /calls/%zz%c0%ae?a=%ff%zz HTTP/1.1\r\nHost: a\r\n\r\n", REFUSED),
    "an expected continuation": (POST + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n", REFUSED),
    "an odd expectation": (POST + b"Expect: the-inquisition\r\nContent-Length: 0\r\n\r\n", REFUSED),
    "an odd type": (POST + b"Content-Type: multipart/form-data; boundary=\r\nContent-Length: 2\r\n\r\n{}", REFUSED),
    "a compressed body": (POST + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", REFUSED),
    "a websocket elsewhere": (
        b"GET /events HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        REFUSED,
    ),
    "a range": (b"GET /live/static/live.js HTTP/1.1\r\nHost: a\r\nRange: bytes=0-0,0-0,0-0\r\n\r\n", ANY),
}

LARGE: dict[str, tuple[bytes, frozenset[int]]] = {
    "a huge header": (GET + b"X: " + b"x" * 60_000 + b"\r\n\r\n", frozenset({431})),
    "a huge cookie": (GET + b"Cookie: " + b"a=b; " * 6000 + b"\r\n\r\n", ANY),
    "ten thousand headers": (GET + b"a: b\r\n" * 10_000 + b"\r\n", frozenset({431})),
    "five thousand headers": (GET + b"a:b\r\n" * 5_000 + b"\r\n", ANY),
    "ten thousand fields": (b"GET /calls?" + b"a&" * 10_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", REFUSED),
    "a huge path": (b"GET /calls/" + b"x" * 30_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", REFUSED),
    "a huge bearer": (
        b"GET /calls HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + b"x" * 30_000 + b"\r\n\r\n",
        REFUSED,
    ),
    "a million bytes without a line": (b"x" * 1_000_000, frozenset({431})),
}


async def one_answer_each(target: Target, table: dict[str, tuple[bytes, frozenset[int]]]) -> str:
    cases = Cases()

    async def ask(name: str, request: bytes, allowed: frozenset[int]) -> None:
        # A connection that is reset behind what was too much loses its answer, which is no answer too many.
        answer = await target.exchange(request, patience_s=3.0)
        statuses = finals(answer)
        cut_off = not answer and (table is AMBIGUOUS or len(request) > 30_000)
        fine = len(statuses) == 1 and statuses[0] in allowed and b"HTTP/1.1 101" not in answer
        cases.check(name, fine or cut_off, statuses or answer or "no answer")

    async with trio.open_nursery() as nursery:
        for name, (request, allowed) in table.items():
            nursery.start_soon(ask, name, request, allowed)
            await trio.sleep(0.005)
    return cases.verdict("requests with one proper answer each")


@attack(clients=len(AMBIGUOUS))
async def smuggling(target: Target) -> str:
    """Requests of which two readers could disagree where they end: nobody gets a second answer."""
    return await one_answer_each(target, AMBIGUOUS)


@attack(clients=len(ODD))
async def odd_http(target: Target) -> str:
    """Forms, methods, versions and headers that hardly anybody sends."""
    return await one_answer_each(target, ODD)


@attack(clients=len(LARGE), quick=False)
async def large_heads(target: Target) -> str:
    """Heads that are large, or have very many parts."""
    return await one_answer_each(target, LARGE)


@attack()
async def broken_bodies(target: Target) -> str:
    """Bodies that break off while their request is being refused, one after another: the server outlives them."""
    cases, until = Cases(), trio.current_time() + 4 * target.seconds
    while trio.current_time() < until and cases.count < 40 * len(BROKEN):
        for name, (request, half_closed) in BROKEN.items():
            try:
                answer = await broken_off(target, request, half_closed=half_closed)
            except OSError:
                raise Breach(f"the server no longer listens after {cases.count} of them, the last: {name}") from None
            cases.check(name, answer is not None and set(finals(answer)) <= REFUSED, answer or "it hangs")
    return cases.verdict("broken requests, each connection ended")


async def broken_off(target: Target, request: bytes, *, half_closed: bool) -> bytes | None:
    """The answer to it; None where the connection hangs."""
    answer = b""
    async with await target.connect() as stream:
        with trio.move_on_after(3) as patience, suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await stream.send_all(request)
            if half_closed:
                await stream.send_eof()
            async for piece in stream:
                answer += piece
    return None if patience.cancelled_caught else answer


@attack()
async def header_injection(target: Target) -> str:
    """Forwarding headers nobody signed: the TwiML stays well-formed, and names the host that was signed."""
    cases = Cases()
    for number, value in enumerate(
        [
            "evil.example",
            'evil.example"/><Say>x</Say><Stream url="wss://evil.example',
            "evil.example/?",
            "user:password@evil.example",
            "evil.example, other.example",
            "evil.example#a",
            "[::1",
            "evil.example\\..",
        ]
    ):
        form = [("CallSid", f"CA{number:032x}"), ("From", f"{target.markers.number}0001")]
        answer = await target.signed("/voice/incoming", form, X_Forwarded_Host=value, X_Forwarded_Proto="javascript")
        if answer.status_code == 200:
            plan = twiml.read_stream(answer.text)
            tags = [element.tag for element in ET.fromstring(answer.text).iter()]
            shape = ["Response", "Connect", "Stream", "Parameter", "Parameter", "Say", "Hangup"]
            cases.check(f"shape with {value!r}", tags == shape, tags)
            cases.check(f"host with {value!r}", plan is not None and f"//{target.host}/" in plan.url, plan and plan.url)
            target.stream_tokens.add(plan.parameters["token"] if plan else "")
        await target.signed("/twilio/call-status", [form[0], ("CallStatus", "completed")])
    answer = await target.get("/live?token=" + target.markers.token, {"X-Forwarded-Proto": "https\t, x"})
    cases.check("cookie", answer.status_code == 303 and answer.headers["location"] == "/live", answer.headers)
    return cases.verdict("answers unharmed")


@attack(clients=200, quick=False)
async def slow_heads(target: Target) -> str:
    """Two hundred heads that come a byte at a time."""
    async with trio.open_nursery() as nursery:
        for _ in range(200):
            nursery.start_soon(trickle, target, GET)
        await trio.sleep(target.seconds + 200 / GATHERED_A_SECOND)
        nursery.cancel_scope.cancel()
    return "200 heads a byte at a time"


@attack(clients=200)
async def slow_bodies(target: Target) -> str:
    """Two hundred forms with a made-up signature, whose bodies do not come."""
    return await held_open(target, 200, FRAMINGS[:1])


@attack(clients=600, quick=False)
async def more_slow_bodies_than_places(target: Target) -> str:
    """Six hundred forms with a made-up signature, whose bodies do not come: whoever calls is still answered."""
    return await held_open(target, 600, FRAMINGS)


async def held_open(target: Target, count: int, framings: Sequence[str]) -> str:
    head = (
        f"POST /voice/incoming HTTP/1.1\r\nHost: a\r\nContent-Type: {FORM_TYPE}\r\nX-Twilio-Signature: {'A' * 27}=\r\n"
    )
    answered = most = 0

    async def ring() -> None:
        nonlocal answered
        while True:
            caller = target.caller()
            with trio.move_on_after(ANSWER_S) as patience:
                await placed(target, caller)
            if patience.cancelled_caught:
                raise Breach(f"a caller waited for {ANSWER_S:g} s")
            answered += 1
            await end(target, caller)
            await trio.sleep(RING_S)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ring)
        for framing in framings:
            most = max(most, await crowd(target, count, f"{head}{framing}".encode()))
        nursery.cancel_scope.cancel()
    if not answered:
        raise Breach("no caller was answered meanwhile")
    return f"{count} bodies that do not come, {answered} calls answered meanwhile, {most} open files"


async def crowd(target: Target, count: int, request: bytes, *, window: int | None = None) -> int:
    """So many clients who ask and then say nothing more; returns the most files the server had open."""
    most = 0
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(partial(hold, target, request, window=window))
            await trio.sleep(1 / GATHERED_A_SECOND)
        until = trio.current_time() + target.seconds
        while trio.current_time() < until:
            await trio.sleep(0.1)
            most = max(most, target.server.open_files)
        nursery.cancel_scope.cancel()
    return most


async def hold(target: Target, request: bytes, *, window: int | None = None) -> None:
    """Ask, and then say nothing more until cancelled. `window`: bytes of the answer the kernel takes for us."""
    with suppress(OSError, trio.BrokenResourceError):
        async with await target.connect() as stream:
            if window is not None:
                stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, window)
            await stream.send_all(request)
            await trio.sleep_forever()


async def trickle(target: Target, request: bytes) -> None:
    """A byte every tenth of a second, for ever the same header."""
    with suppress(OSError, trio.BrokenResourceError):
        async with await target.connect() as stream:
            await stream.send_all(request)
            while True:
                await stream.send_all(b"x")
                await trio.sleep(0.1)


@attack()
async def bodies_nobody_reads(target: Target) -> str:
    """Two hundred megabytes behind requests that were refused already."""
    sent = 0
    length = b"Content-Length: 100000000000\r\n\r\n"
    requests = {
        "a wrong secret": b"POST /webhook/vapi HTTP/1.1\r\nHost: a\r\nX-Vapi-Secret: x\r\n" + length,
        "no signature": b"POST /voice/incoming HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "no such route": b"POST /nothing HTTP/1.1\r\nHost: a\r\n" + length,
        "a page": b"GET /live HTTP/1.1\r\nHost: a\r\n" + length,
    }
    for name, head in requests.items():
        piece = b"8000\r\n" + b"x" * 0x8000 + b"\r\n" if b"chunked" in head else b"x" * 0x8000
        async with await target.connect() as stream:
            with trio.move_on_after(target.seconds / 2), suppress(trio.BrokenResourceError):
                await stream.send_all(head)
                for _ in range(1600):
                    await stream.send_all(piece)
                    sent += len(piece)
                raise Breach(f"{name}: took all of 50 MB and did not hang up")
    return f"{sent / 1e6:.1f} MB taken before the connections were closed"


@attack(quick=False)
async def a_body_behind_an_event_stream(target: Target) -> str:
    """A watcher who has the token sends a body that nobody reads, while the answer never ends."""
    head = f"GET /events HTTP/1.1\r\nHost: a\r\nAuthorization: {target.bearer['Authorization']}\r\n"
    taken = 0
    async with await target.connect() as stream:
        with trio.move_on_after(target.seconds), suppress(trio.BrokenResourceError):
            await stream.send_all(head.encode() + b"Content-Length: 100000000\r\n\r\n")
            for _ in range(2000):
                await stream.send_all(b"x" * 0x8000)
                taken += 0x8000
    return f"{taken / 1e6:.1f} MB taken"


@attack(quick=False)
async def churn(target: Target) -> str:
    """Connections that come and go as fast as they can, some with half a request."""
    count, until = 0, trio.current_time() + target.seconds
    starts = [b"", b"G", b"GET /audio-stream/", GET, POST + b"Content-Length: 9\r\n\r\n", b"\r\n\r\n", GET + b"\r\n"]
    while trio.current_time() < until:
        async with trio.open_nursery() as nursery:
            for start in starts:
                nursery.start_soon(come_and_go, target, start)
        count += len(starts)
    return f"{count} connections"


async def come_and_go(target: Target, request: bytes) -> None:
    with suppress(OSError, trio.BrokenResourceError):
        async with await target.connect() as stream:
            await send_pieces(stream, [request])
