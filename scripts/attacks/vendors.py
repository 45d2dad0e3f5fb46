"""Those we connect to, gone bad: Vapi's control addresses and sockets, engines over the network."""

import gzip
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import cache

import trio

from agent.testing import Pace

from .beside import OK, beside, peer, repeat, shake_hands, take_everything, watched
from .raw_line import BINARY, PING, TEXT, end, frame, placed
from .table import Cases, attack
from .target import VOICE, Target

Saying = Callable[[trio.SocketStream], Awaitable[None]]


@cache
def packed_bomb() -> bytes:
    """200 MB in 200 kB."""
    return gzip.compress(b" " * 200_000_000)


def said(text: str) -> bytes:
    return frame(TEXT, text.encode(), masked=False)


async def endless(stream: trio.SocketStream) -> None:
    await stream.send_all(OK + b"Content-Length: 100000000000\r\n\r\n")
    await repeat(stream, b"x" * 65_536)


async def bomb(stream: trio.SocketStream) -> None:
    packed = packed_bomb()
    length = str(len(packed)).encode()
    await stream.send_all(OK + b"Content-Encoding: gzip\r\nContent-Length: " + length + b"\r\n\r\n" + packed)
    await take_everything(stream)


async def interim(stream: trio.SocketStream) -> None:
    await repeat(stream, b"HTTP/1.1 102 Processing\r\nX: " + b"x" * 4000 + b"\r\n\r\n")


async def headers(stream: trio.SocketStream) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\n")
    await repeat(stream, b"X: " + b"x" * 4000 + b"\r\n")


ANSWERS: dict[str, Saying] = {"endless": endless, "a bomb": bomb, "interim answers": interim, "headers": headers}


@attack(clients=len(ANSWERS))
async def answers_of_control_addresses(target: Target) -> str:
    """Notes are answered with bodies and heads without an end, bombs, and redirects: nothing of it is kept."""
    cases, hits = Cases(), list[bytes]()

    async def elsewhere(stream: trio.SocketStream, head: bytes) -> None:
        hits.append(head)

    async def answer(stream: trio.SocketStream, head: bytes) -> None:
        name = head.split(b" ")[1].strip(b"/").decode().replace("_", " ")
        if name in ANSWERS:
            await ANSWERS[name](stream)
        code, location = name.split(" ")[-1], f"http://127.0.0.1:{other_port}/stolen"
        await stream.send_all(f"HTTP/1.1 {code} Go\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())

    await trio.to_thread.run_sync(packed_bomb)  # so that it lies ready
    async with beside(target) as other, peer(elsewhere) as other_port, peer(answer) as port:
        async with watched(other) as cost:
            for name in [*ANSWERS, "moved 301", "moved 307", "moved 308"]:
                address = f"http://127.0.0.1:{port}/{name.replace(' ', '_')}"
                cases.check(name, await told_there(other, address), "the call is not live")
        verdict = cost.check(len(ANSWERS))
    cases.check("redirects", not hits, hits[:1])
    return cases.verdict(f"answers survived, {verdict}")


async def told_there(target: Target, address: str) -> bool:
    """A call that has every reason to tell something to this address; whether it lives through that."""
    caller = target.caller()
    sid = (await placed(target, caller)).parameters["callSid"]
    call = {"id": sid, "phoneCallProviderId": sid, "monitor": {"controlUrl": address}}
    await target.vapi_says({"message": {"type": "status-update", "status": "in-progress", "call": call}})
    for _ in range(8):
        await target.emotion(sid, "angry")
        await trio.sleep(0.02)
    await trio.sleep(target.seconds / 2)
    live = await target.is_live(sid)
    await end(target, caller)
    return live


# Sockets that we dial.

RATES = [said(json.dumps({"sampleRate": 8000 + n, "channels": 1 + n % 8})) for n in range(200)]
SECONDS = frame(BINARY, VOICE[:60_000], masked=False)

FLOODS: dict[str, tuple[bytes, bytes]] = {
    "empty fragments": (frame(BINARY, b"", fin=False, masked=False), frame(0, b"", fin=False, masked=False)),
    "empty messages": (b"", frame(BINARY, b"", masked=False)),
    "odd messages": (b"", frame(BINARY, b"abc", masked=False)),
    "sound without end": (b"", SECONDS),
    "changing shapes": (b"", b"".join(RATES)),
    "large messages": (b"", frame(BINARY, bytes(1_000_000), masked=False)),
    "pings": (b"", frame(PING, b"x" * 100, masked=False)),
}
"""What each begins with, and then sends without an end."""
FLOOD_COSTS = 3
"""Megabytes; one for the peer, and two for what such a server does for the first time."""


@attack(clients=len(FLOODS), quick=False)
async def floods_from_listen_sockets(target: Target) -> str:
    """Sockets that calls are listened to on send what they like, as fast as they can: the others do not notice."""
    cases = Cases()

    async def flood(stream: trio.SocketStream, head: bytes) -> None:
        name = head.split(b" ")[1].strip(b"/").decode().replace("_", " ")
        await shake_hands(stream, head)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(take_everything, stream)
            first, again = FLOODS[name]
            with suppress(trio.BrokenResourceError):
                await stream.send_all(first)
                await repeat(stream, again)
            nursery.cancel_scope.cancel()

    async with beside(target, CALLMOOD_ATTACH="listen") as other, peer(flood) as port:
        for name in FLOODS:
            async with watched(other) as cost:
                call_id = await begun_at_vapi(other, f"ws://127.0.0.1:{port}/{name.replace(' ', '_')}")
                with trio.move_on_after(target.seconds):
                    while True:
                        await answers(other, name, cases)
                        await trio.sleep(0.1)
                await over_at_vapi(other, call_id)
            cases.check(name, cost.megabytes < FLOOD_COSTS, f"it cost {cost.megabytes:.1f} MB")
    return cases.verdict("answers beside floods")


async def answers(target: Target, name: str, cases: Cases) -> None:
    with trio.move_on_after(3) as patience:
        status = (await target.get("/healthz")).status_code
    cases.check(name, not patience.cancelled_caught and status == 200, "nobody answers beside it")


async def begun_at_vapi(target: Target, address: str) -> str:
    """A call of Vapi's that can be listened to there; its id."""
    call_id = f"vapi-{target.callers}-{address.rpartition('/')[2]}"
    call = {"id": call_id, "monitor": {"listenUrl": address}}
    await target.vapi_says({"message": {"type": "status-update", "status": "in-progress", "call": call}})
    return call_id


async def over_at_vapi(target: Target, call_id: str) -> None:
    await target.vapi_says({"message": {"type": "status-update", "status": "ended", "call": {"id": call_id}}})


# Engines over the network.

CREATED, UPDATED = said('{"type":"session.created"}'), said('{"type":"session.updated"}')


def measurement(start: str, end_ms: str, name: str = "Anger", probability: str = "0.9") -> bytes:
    found = f'[{{"name":"{name}","probability":{probability}}}]'
    times = f'"audio_start_ms":{start},"audio_end_ms":{end_ms}'
    return said(f'{{"type":"measurement.result",{times},"expressions":{found}}}')


HUGE = str(2**64 - 1)
LONG_NAME = "x" * 240_000


def vendors_words(target: Target) -> dict[str, list[bytes]]:
    """What an engine says once it is configured."""
    key, planted = target.markers.others["HUME_API_KEY"], target.markers.planted
    complaint = said(json.dumps({"type": "error", "code": key, "message": planted}))
    parting = said(json.dumps({"type": "session.closed", "reason": f"{key[:20]} {planted}"}))
    return {
        "times that no clock shows": [
            measurement(a, b) for a in (HUGE, "-" + HUGE, "0", "-1", "1e300") for b in ("100", "0", HUGE, "-5")
        ],
        "our own key": [complaint, complaint, parting],
        "a name for everything": [measurement("0", "100", f"{n} {LONG_NAME}") for n in range(60)],
        "what is said, as a name": [measurement("0", "100", f"{planted} {n}") for n in range(200)],
        "complaints": [said('{"type":"error","code":"rate_limited"}'), said('{"type":"error","code":"b"}')] * 2000,
        "of what was not sent": [measurement("0", "999999")] * 4000,
        "greetings": [CREATED] * 4000,
        "no JSON": [said("[" * 60_000), frame(BINARY, b"\xff" * 60_000, masked=False), said("1"), said("null")] * 8,
        "scores": [measurement("0", "100", "Anger", p) for p in ("1e308", "-1", "2", '"a"', "null", "1e-400", "[]")],
    }


@attack(clients=9)
async def words_of_engines(target: Target) -> str:
    """An engine over the network says what cannot be: a measurement less, and never a call less or a secret told."""
    cases, words = Cases(), vendors_words(target)
    unsaid = list(words)

    async def speak(stream: trio.SocketStream, head: bytes) -> None:
        pieces = words[unsaid.pop()] if unsaid else []
        await shake_hands(stream, head)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(take_everything, stream)
            with suppress(trio.BrokenResourceError):
                await stream.send_all(CREATED + UPDATED)
                await trio.sleep(0.5)  # until there is audio to speak of
                for piece in pieces:
                    await stream.send_all(piece)
                await trio.sleep_forever()
            nursery.cancel_scope.cancel()

    async def call(other: Target) -> None:
        cases.check("a call", *await outcome(other))

    async with peer(speak) as port:
        address = f"ws://127.0.0.1:{port}"
        async with beside(target, CALLMOOD_ENGINE="hume", HUME_BASE_URL=address) as other, watched(other) as cost:
            await call(other)  # what the first of them costs is no attack
            unsaid = list(words)
            cost.before = other.server.memory
            async with trio.open_nursery() as nursery:
                for _ in words:
                    nursery.start_soon(call, other)
            grown = other.server.log.stat().st_size
            cases.check("the log", grown < 100_000, f"{grown} bytes of it")
        verdict = cost.check(len(words))
    return cases.verdict(f"calls unharmed, {verdict}")


async def outcome(target: Target) -> tuple[bool, object]:
    """Whether a call beside this engine ends as its caller ended it."""
    caller = target.caller()
    plan = await placed(target, caller)
    async with caller.stream(plan, Pace(speed=1)) as stream:
        whole = await stream.play(VOICE[:16_000])
    await caller.complete(2)
    with trio.move_on_after(5):
        while await target.is_live(caller.call_sid):  # noqa: ASYNC110 - another process, which sends no event
            await trio.sleep(0.05)
    ended = (await target.get(f"/calls/{caller.call_sid}")).json()
    return whole and ended["outcome"] == "hangup", ended["outcome"]
