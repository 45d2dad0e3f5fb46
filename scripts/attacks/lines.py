"""Media streams from a peer that breaks the protocol, or keeps to it and sends far too much.

The peer is the worst there can be: its handshake is signed and its token is good.
"""

import struct
from collections.abc import Callable

import trio

from .raw_line import BINARY, CLOSE, PING, TEXT, RawLine, asked_for, end, frame, length_of, open_line, placed
from .table import Breach, Cases, attack
from .target import Target

LIMIT = 64 * 1024
BATCH = 500
"""Frames to one write of a flood."""

CLOSED_BY: dict[str, tuple[list[bytes], frozenset[int]]] = {
    "unmasked": ([frame(TEXT, b"{}", masked=False)], frozenset({1002})),
    "compressed without negotiation": ([frame(TEXT, b"\xaa\x56\x4a\x2d", reserved=4)], frozenset({1002})),
    "second reserved bit": ([frame(TEXT, b"{}", reserved=2)], frozenset({1002})),
    "reserved opcode": ([frame(3, b"{}")], frozenset({1002})),
    "reserved control opcode": ([frame(11, b"")], frozenset({1002})),
    "invalid UTF-8": ([frame(TEXT, b"\xc3\x28")], frozenset({1007})),
    "half a letter at the end": ([frame(TEXT, b"\xc3", fin=False), frame(0, b"", fin=True)], frozenset({1007})),
    "a surrogate in UTF-8": ([frame(TEXT, b"\xed\xa0\x80")], frozenset({1007})),
    "continuation of nothing": ([frame(0, b"x")], frozenset({1002})),
    "a message within a message": ([frame(TEXT, b"x", fin=False), frame(TEXT, b"y")], frozenset({1002})),
    "a fragmented ping": ([frame(PING, b"x", fin=False)], frozenset({1002})),
    "a ping of 126 bytes": ([frame(PING, b"x" * 126)], frozenset({1002})),
    "close with code 999": ([frame(CLOSE, struct.pack("!H", 999))], frozenset({1002})),
    "close with code 1005": ([frame(CLOSE, struct.pack("!H", 1005))], frozenset({1002})),
    "close with one byte": ([frame(CLOSE, b"\x03")], frozenset({1002})),
    "close with a reason beyond UTF-8": ([frame(CLOSE, b"\x03\xe8\xff")], frozenset({1002, 1007})),
    "a length of 2^63": ([b"\x81\xff" + b"\xff" * 8 + b"\x00" * 4], frozenset({1002, 1009})),
    "a length of 10 GB": ([b"\x81" + length_of(10**10) + b"\x00" * 4, b"x" * 200_000], frozenset({1009})),
    "a short length said at length": ([b"\x81\xfe\x00\x01" + b"\x00" * 4 + b"x"], frozenset({1002})),
    "64 KiB and one": ([frame(TEXT, b"x" * (LIMIT + 1))], frozenset({1009})),
    "64 KiB and one, in pieces": (
        [frame(TEXT, b"x" * 1000, fin=False), *[frame(0, b"x" * 1000, fin=False)] * 66],
        frozenset({1009}),
    ),
    "64 KiB and one, in single bytes": (
        [frame(TEXT, b"x", fin=False), frame(0, b"x", fin=False) * LIMIT],
        frozenset({1009}),
    ),
    "binary": ([frame(BINARY, b"{}")] * 50, frozenset({1008})),
    "nothing but nonsense": ([frame(TEXT, b"nonsense")] * 50, frozenset({1008})),
    "empty messages": ([frame(TEXT, b"")] * 50, frozenset({1008})),
    "deeply nested JSON": ([frame(TEXT, b"[" * 60_000)] * 50, frozenset({1008})),
    "starting again": ([frame(TEXT, b'{"event":"connected"}')] * 50, frozenset({1008})),
}


@attack(clients=len(CLOSED_BY))
async def broken_frames(target: Target) -> str:
    """One line for every way to break the protocol: closed, with the code that names it or without a word."""
    cases = Cases()

    async def break_one(name: str, pieces: list[bytes], codes: frozenset[int]) -> None:
        async with open_line(target) as line:
            for piece in pieces:
                await line.send(piece)
            closed = await line.closing(5.0)
            cases.check(name, closed is not None and closed[0] in codes | {1006}, closed or "not closed")

    async with trio.open_nursery() as nursery:
        for name, (pieces, codes) in CLOSED_BY.items():
            nursery.start_soon(break_one, name, pieces, codes)
    return cases.verdict("lines closed")


@attack(quick=False)
async def what_is_just_allowed(target: Target) -> str:
    """Pings, fragments and messages at their limits, and extensions nobody agreed to: the line stays open."""
    cases = Cases()
    event = b'{"event":"%s"}'
    for name, piece in {
        "a message of 64 KiB": frame(TEXT, event % b"new" + b" " * (LIMIT - len(event % b"new"))),
        "fragments with a ping between": frame(TEXT, b'{"event"', fin=False) + frame(PING) + frame(0, b':"new"}'),
        "a ping of 125 bytes": frame(PING, b"x" * 125),
        "an unasked pong": frame(10, b"x"),
    }.items():
        async with open_line(target) as line:
            await line.send(piece + frame(PING, b"z"))
            closed = await line.closing(0.3)
            cases.check(name, closed is None, closed)
    return cases.verdict("lines stayed open")


@attack(quick=False)
async def an_extension_offered(target: Target) -> str:
    """Compression is offered in the handshake: it is not agreed to."""
    caller = target.caller()
    plan = await placed(target, caller)
    extra = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nSec-WebSocket-Protocol: a, b\r\n"
    async with asked_for(target, caller, plan, extra=extra) as line:
        head = line.head.lower()
    await end(target, caller)
    if b"deflate" in head or b"sec-websocket-protocol" in head:
        raise Breach(f"it was agreed to: {head!r}")
    return "not agreed to"


async def flood(target: Target, batch: Callable[[RawLine], bytes], *, reading: bool = True, first: bytes = b"") -> str:
    """One batch after another, as fast as they are taken; says how much was."""
    taken = 0
    async with open_line(target) as line, trio.open_nursery() as nursery:
        if reading:
            nursery.start_soon(line.read)
        await line.send(first)
        with trio.move_on_after(target.seconds):
            while await line.send(piece := batch(line)):
                taken += len(piece)
        nursery.cancel_scope.cancel()
    return f"{taken / 1e6:.1f} MB taken"


@attack()
async def empty_fragments(target: Target) -> str:
    """A text message of endlessly many empty fragments, which no limit on bytes ever stops."""
    many = frame(0, b"", fin=False) * BATCH
    return await flood(target, lambda _: many, first=frame(TEXT, b"", fin=False))


@attack(quick=False)
async def empty_binary_fragments(target: Target) -> str:
    """A binary message of endlessly many empty fragments."""
    many = frame(0, b"", fin=False) * BATCH
    return await flood(target, lambda _: many, first=frame(BINARY, b"", fin=False))


@attack(quick=False)
async def pings(target: Target) -> str:
    """Pings as fast as they go, every pong read."""
    many = frame(PING, b"x" * 125) * BATCH
    return await flood(target, lambda _: many)


@attack()
async def pings_and_never_reading(target: Target) -> str:
    """Pings as fast as they go, no pong ever read."""
    many = frame(PING, b"x" * 125) * BATCH
    return await flood(target, lambda _: many, reading=False)


@attack(quick=False)
async def unknown_events(target: Target) -> str:
    """Messages of a kind nobody knows, which are passed over without a limit."""
    many = frame(TEXT, b'{"event":"new","x":"' + b"y" * 200 + b'"}') * BATCH
    return await flood(target, lambda _: many)


@attack(quick=False)
async def large_messages(target: Target) -> str:
    """Messages just under the limit, one after another."""
    head = b'{"event":"new","x":"'
    large = frame(TEXT, head + b"y" * (LIMIT - len(head) - 2) + b'"}') * 4
    return await flood(target, lambda _: large)


@attack()
async def audio_too_fast(target: Target) -> str:
    """Good audio, many times faster than real time."""
    at_ms = 0

    def batch(line: RawLine) -> bytes:
        nonlocal at_ms
        pieces = []
        for _ in range(50):
            pieces.append(line.media(bytes(range(0x20, 0xC0)), at_ms))
            at_ms += 20
        return b"".join(pieces)

    return f"{await flood(target, batch)}, {at_ms / 1000 / target.seconds:.0f} times real time"


@attack(quick=False)
async def audio_with_leaps(target: Target) -> str:
    """Frames of a second each whose clock and counter leap as far as they may."""
    at_ms = 0

    def batch(line: RawLine) -> bytes:
        nonlocal at_ms
        pieces = []
        for _ in range(10):
            line.sequence += 10**6
            pieces.append(line.media(b"\x55" * 8000, at_ms))
            at_ms += 10**9
        return b"".join(pieces)

    return await flood(target, batch)
