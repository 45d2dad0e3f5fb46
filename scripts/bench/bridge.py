#!/usr/bin/env python3
"""What does our bridge add? Delay both ways, bytes lost or altered, and how soon an interruption is on the wire.

    .venv/bin/python scripts/bench/bridge.py --calls 5 --seconds 20 --minutes 10

A server process bridges simulated Twilio callers to a simulated Vapi; both are in this process, so that both ends of
every way are on one clock. Beside each call runs a direct one: the same frames over a socket to another process that
only echoes them, so that they take two hops and two changes of process, as ours do. What is over and above that is
ours. Judge a figure by its ratio to the promise beside it, and a run by its direct delay: if that is not small, the
machine was too busy and the run says little.

  to Vapi, to caller   20 ms frames in real time, from being sent to being received
  bytes                so many minutes both ways, ten times as fast, while the engine answers nothing at all
  decision to clear    from the deciding reading's place in the timeline (whole milliseconds) to `clear` at the caller
"""

import argparse
import json
import os
import random
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np
import trio
from wsproto.events import BytesMessage

from agent import wiring
from agent.__main__ import main as callmood
from agent.http import client, httpx
from agent.testing import PRIVATE_KEY, CallerStream, FakeCall, FakeVapi, Fault, Pace, ScriptedEngine, TwilioCaller
from agent.testing.http_server import HttpRequest, HttpServer, Upgrade
from agent.testing.sockets import ClientSocket, open_socket

ROOT = Path(__file__).parents[2]
PROMISE_MS = 20
FAST = 10

Sent = Iterable[tuple[float, int]]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20, help="of each call whose delay is measured")
    parser.add_argument("--minutes", type=float, default=10, help="of sound whose bytes are compared, each way")
    parser.add_argument("--interruptions", type=int, default=50)
    parser.add_argument("--pin", default="", help="core of the server, as for taskset")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--serve", choices=("stalled", "echo"), help=argparse.SUPPRESS)
    return parser.parse_args()


def serve_stalled() -> None:
    """`callmood serve` with an engine that never answers."""
    engine = ScriptedEngine()
    engine.fault = Fault("stall")  # of every read
    wiring.engine = lambda settings: engine
    sys.argv[1:] = ["serve", "--port", "0"]
    callmood()


@dataclass
class Bench:
    """A server in bridge mode, and what is around it."""

    url: str
    keys: dict[str, str]
    vapi: FakeVapi
    http: httpx.AsyncClient

    @asynccontextmanager
    async def call(self, speed: float = 1) -> AsyncIterator[tuple[CallerStream, FakeCall, str]]:
        caller = TwilioCaller(self.url, auth_token=self.keys["TWILIO_AUTH_TOKEN"])
        placed = await caller.place()
        assert placed.plan is not None, placed
        vapi_call_id = None
        while vapi_call_id is None:
            await trio.sleep(0.02)
            vapi_call_id = (await self.get(f"/calls/{caller.call_sid}"))["vapiCallId"]
        vapi = next(call for call in self.vapi.created if call.facts.call_id == vapi_call_id)
        async with caller.stream(placed.plan, Pace(speed=speed)) as stream:
            await vapi.transport.connected.wait()
            yield stream, vapi, caller.call_sid

    async def get(self, path: str) -> dict:
        return (await self.http.get(self.url + path, headers=self.bearer)).json()

    async def angry(self, call_sid: str) -> None:
        body = {"callSid": call_sid, "emotion": {"label": "angry", "score": 0.97}}
        await self.http.post(f"{self.url}/webhook/emotion", json=body, headers=self.bearer)

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys['CALLMOOD_TOKEN']}"}


@asynccontextmanager
async def bench(*, stalled: bool, pin: str) -> AsyncIterator[Bench]:
    keys = {name: secrets.token_hex(8) for name in ("TWILIO_AUTH_TOKEN", "VAPI_SECRET", "CALLMOOD_TOKEN")}
    command = ["taskset", "-c", pin] if pin else []
    command += [sys.executable, *([__file__, "--serve=stalled"] if stalled else ["-m", "agent", "serve", "--port=0"])]
    with tempfile.TemporaryDirectory() as folder:
        async with FakeVapi.serve() as vapi, client() as http:
            env = {**keys, "CALLMOOD_ATTACH": "bridge"}
            env |= {"VAPI_API_KEY": PRIVATE_KEY, "VAPI_ASSISTANT_ID": "a", "VAPI_BASE_URL": vapi.url}
            env |= {"VAPI_CONTROL_HOSTS": "127.0.0.1"}
            with process(command, folder, env) as server:
                yield Bench(await server(), keys, vapi, http)


@contextmanager
def process(command: list[str], folder: str | None, env: dict[str, str]) -> Iterator[Callable[[], Awaitable[str]]]:
    """A server of its own, and what waits for the address in its first line."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **env}
    server = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True)

    async def address() -> str:
        assert server.stdout is not None
        return (await trio.to_thread.run_sync(server.stdout.readline)).split()[1]

    try:
        yield address
    finally:
        server.terminate()
        server.wait(10)


def delays(sent: Sent, received: Sent) -> list[float]:
    """Milliseconds from the sending of each received piece's last byte."""
    places, at = [], []
    position = 0
    for when, length in sent:
        position += length
        places.append(position)
        at.append(when)
    position, found = 0, []
    for when, length in received:
        position += length
        place = int(np.searchsorted(places, position))
        if place < len(at):
            found.append(1000 * (when - at[place]))
    return found


async def bridged(bench: Bench, number: int, seconds: float, found: dict[str, list[float]]) -> None:
    await trio.sleep(0.0137 * number)
    sound = random.Random(number).randbytes(int(8000 * seconds) // 160 * 160)
    async with bench.call() as (stream, vapi, _):
        async with trio.open_nursery() as both:
            both.start_soon(stream.play, sound)
            both.start_soon(vapi.transport.say, sound)
        await trio.sleep(0.5)
        sent = [(stream.sent_at(20 * (n + 1)), 160) for n in range(len(sound) // 160)]
        found["to Vapi"] += delays(sent, vapi.transport.arrivals)
        found["to caller"] += delays(vapi.transport.sent, stream.arrivals)


async def direct(url: str, number: int, seconds: float, found: dict[str, list[float]]) -> None:
    """The same frames to a process that echoes them, and back."""
    await trio.sleep(0.0137 * number + 0.007)
    sent: list[tuple[float, int]] = []
    came: list[tuple[float, int]] = []
    async with open_socket(url, "/", host="127.0.0.1", headers=()) as socket, trio.open_nursery() as nursery:

        async def listen() -> None:
            async for message in socket.messages():
                came.append((trio.current_time(), len(message)))

        nursery.start_soon(listen)
        began = trio.current_time()
        for n in range(int(50 * seconds)):
            await trio.sleep_until(began + 0.02 * n)
            sent.append((trio.current_time(), 160))
            await socket.send(BytesMessage(bytes(160)))
        await trio.sleep(0.5)
        await socket.close()
    found["direct"] += delays(sent, came)


async def serve_echo() -> None:
    async def echo(socket: ClientSocket) -> None:
        async for message in socket.messages():
            await socket.send(BytesMessage(message))

    async def answer(request: HttpRequest) -> Upgrade:
        return Upgrade(echo)

    server = HttpServer(answer)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        print("echo", server.url, flush=True)


async def measure_delay(bench: Bench, args: argparse.Namespace) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"direct": [], "to Vapi": [], "to caller": []}
    with process([sys.executable, __file__, "--serve=echo"], None, {}) as echo:
        url = await echo()
        async with trio.open_nursery() as nursery:
            for number in range(args.calls):
                nursery.start_soon(bridged, bench, number, args.seconds, found)
                nursery.start_soon(direct, url, number, args.seconds, found)
    return found


async def compare_bytes(bench: Bench, minutes: float) -> int:
    """How many bytes are lost or altered, both ways together."""
    said, answered = (random.Random(n).randbytes(int(480_000 * minutes) // 160 * 160) for n in (1, 2))
    async with bench.call(speed=FAST) as (stream, vapi, _):
        async with trio.open_nursery() as both:
            both.start_soon(stream.play, said)
            both.start_soon(partial(vapi.transport.say, answered, speed=FAST))
        with trio.move_on_after(10):
            await vapi.transport.wait_heard(len(said))
            while len(stream.audio) < len(answered):  # noqa: ASYNC110
                await trio.sleep(0.02)
        return wrong(said, vapi.transport.heard) + wrong(answered, stream.audio)


def wrong(sent: bytes, came: bytes | bytearray) -> int:
    common = min(len(sent), len(came))
    altered = np.frombuffer(sent, np.uint8, common) != np.frombuffer(bytes(came), np.uint8, common)
    return int(altered.sum()) + abs(len(sent) - len(came))


async def interrupt(bench: Bench, found: list[float]) -> None:
    clock = time.time() - trio.current_time()
    async with bench.call() as (stream, vapi, call_sid):
        await vapi.transport.say(random.randbytes(40_000), speed=100)
        await trio.sleep(0.3)
        for _ in range(3):
            await bench.angry(call_sid)
        with trio.fail_after(5):
            cleared = await stream.wait_for(lambda received: received.event == "clear")
        timeline = (await bench.get(f"/calls/{call_sid}"))["timeline"]
        deciding = [event for event in timeline if event["event"] == "audio.chunk" and event["source"] == "webhook"][2]
        found.append(1000 * (cleared.at + clock - datetime.fromisoformat(deciding["at"]).timestamp()))


async def measure_clear(bench: Bench, count: int) -> list[float]:
    found: list[float] = []
    for _ in range(count):
        await interrupt(bench, found)
    return found


async def main(args: argparse.Namespace) -> int:
    async with bench(stalled=False, pin=args.pin) as ours:
        found = await measure_delay(ours, args)
        found["decision to clear"] = await measure_clear(ours, args.interruptions)
    async with bench(stalled=True, pin=args.pin) as ours:
        lost = await compare_bytes(ours, args.minutes)
    return report(found, lost, args)


def report(found: dict[str, list[float]], lost: int, args: argparse.Namespace) -> int:
    percentiles = {name: np.percentile(values, [50, 99]) for name, values in found.items()}
    base = percentiles["direct"]
    figures: dict[str, object] = {"bytesLostOrAltered": lost, "minutes": args.minutes, "calls": args.calls}
    for name, (p50, p99) in percentiles.items():
        added = p99 - base[1] if name.startswith("to ") else p99
        figures[name] = {"p50": round(p50, 2), "p99": round(p99, 2), "n": len(found[name]), "addedP99": round(added, 2)}
        ratio = f"   added p99 {added:6.1f}   promise {PROMISE_MS}   ratio {added / PROMISE_MS:.2f}"
        judged = "" if name == "direct" else ratio
        print(f"{name:<18} p50 {p50:6.1f}   p99 {p99:6.1f} ms{judged}")
    print(f"{lost} bytes lost or altered in {args.minutes:g} minutes each way, with an engine that answers nothing")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0 if lost == 0 else 1


if __name__ == "__main__":
    options = arguments()
    if options.serve == "stalled":
        serve_stalled()
    elif options.serve == "echo":
        trio.run(serve_echo)
    else:
        sys.exit(trio.run(main, options))
