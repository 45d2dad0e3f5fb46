#!/usr/bin/env python3
"""What does the supervisor's screen cost the service, and the line to whoever looks at it?

    .venv/bin/python scripts/bench/wall.py                       500 calls, 50 viewers, less than a minute
    .venv/bin/python scripts/bench/wall.py --calls 100 --viewers 10 --seconds 4

A server process with so many live calls: whole calls, with their rules, timelines and ledger. Their readings do not
come of sound, which would drown what is measured here: each caller's anger wanders, and while they speak (about half of
the time) two readings a second are folded in as an engine's are. Viewers are sockets of this process that read
`GET /events?view=summary`. In one run, phases without viewers alternate with phases with all of them; what the viewers
add is the median difference of the server's processor time between neighbours, in percent of one core.

  plain, gzip  what one viewer is sent a second, without and with Accept-Encoding: gzip, the first message apart
  first        that first message: all calls with their last minute
  age          from a message being made to a viewer having it, by the message's own clock
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
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
import trio

from agent.bench.measure import cpu_s
from agent.calls.call import Call
from agent.core.emotion import Emotion, EmotionReading
from agent.errors import CallGone
from agent.service import Ready, run_service
from agent.settings import Secret, Settings

PROMISED_KB, PROMISED_CORE = 100.0, 10.0
READINGS_EVERY_S = 0.5
ROUNDS = 4
SETTLES_S = 1.5
"""Left out at the beginning of a phase: viewers come and are told everything then."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each of the phases")
    parser.add_argument("--stay", type=float, default=0.0, help="first print the page's address, and stay up so long")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--serve", metavar="FOLDER", help=argparse.SUPPRESS)
    return parser.parse_args()


# --- the server, in a process of its own ---


async def serve(folder: str, calls: int, token: str) -> None:
    """A service with so many calls that never end; prints its address."""
    settings = Settings(
        port=0, data=folder, token=Secret(token), max_calls=calls + 1, connect_within_s=1e6, line_quiet_s=1e6
    )
    async with trio.open_nursery() as nursery:

        async def run(task_status: trio.TaskStatus[Ready]) -> None:
            await run_service(settings, insecure=True, task_status=task_status)

        ready: Ready = await nursery.start(run)
        for number in range(calls):
            call = ready.directory.register(f"CA{number:032x}", caller=f"+155501{number:05d}")
            if call is not None:
                nursery.start_soon(wander, call, random.Random(number))
        print(ready.url, flush=True)


async def wander(call: Call, chance: random.Random) -> None:
    """One caller: how angry they are goes up and down, and they listen about as long as they speak."""
    usual, anger = chance.choice((0.05, 0.1, 0.2, 0.5, 0.8)), 0.1
    await trio.sleep(chance.random())
    with suppress(CallGone):
        while True:
            for _ in range(chance.randrange(8, 24)):
                anger = min(1.0, max(0.0, anger + 0.1 * (usual - anger) + chance.gauss(0, 0.06)))
                await call.hear(reading(call, anger, chance))
                await trio.sleep(READINGS_EVERY_S)
            await trio.sleep(chance.uniform(4, 12))


def reading(call: Call, anger: float, chance: random.Random) -> EmotionReading:
    t, label = call.timeline.elapsed_ms, "angry" if anger > 0.5 else "neutral"
    scores = {"angry": 0.7 * anger, "frustrated": 0.3 * anger, "neutral": 1.0 - anger}
    score, quality = max(anger, 1.0 - anger), chance.uniform(0.5, 0.9)
    return EmotionReading(Emotion(label, score), "local", t, t, trio.current_time(), scores, quality, 1000)


# --- the viewers ---


@dataclass
class Taken:
    """What one viewer was sent."""

    bytes: int = 0
    first: int = 0
    ages_s: list[float] = field(default_factory=list)


async def view(url: str, token: str, encoding: str, taken: Taken) -> None:
    """Look at the screen until cancelled; bytes count after the first message."""
    head = f"GET /events?view=summary HTTP/1.0\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    reader = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16) if encoding == "gzip" else None
    async with await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2])) as stream:
        await stream.send_all(f"{head}Accept-Encoding: {encoding}\r\n\r\n".encode())
        data, body = b"", False
        async for piece in stream:
            taken.bytes += len(piece)
            rest = piece
            if not body:
                data += piece
                _, end, rest = data.partition(b"\r\n\r\n")
                if not end:
                    continue
                data, body = b"", True
            data += reader.decompress(rest) if reader else rest
            *whole, data = data.split(b"\n\n")
            for message in whole:
                note(message, taken)


def note(message: bytes, taken: Taken) -> None:
    if not message.startswith(b"data: "):
        return
    at = message.rpartition(b'"at":"')[2].partition(b'"')[0].decode()
    taken.ages_s.append(time.time() - datetime.fromisoformat(at).timestamp())
    if message.endswith(b'"full":true}'):
        taken.first, taken.bytes = taken.first + taken.bytes, 0


async def phase(pid: int, url: str, token: str, seconds: float, encodings: list[str]) -> tuple[float, list[Taken]]:
    """So many viewers for so long; what percentage of a core the server used, and what each was sent."""
    takens = [Taken() for _ in encodings]
    async with trio.open_nursery() as nursery:
        for encoding, taken in zip(encodings, takens, strict=True):
            nursery.start_soon(view, url, token, encoding, taken)
        await trio.sleep(SETTLES_S)
        for taken in takens:
            taken.bytes, taken.ages_s = 0, []
        used, began = cpu_s([pid]), trio.current_time()
        await trio.sleep(seconds)
        core = 100 * (cpu_s([pid]) - used) / (trio.current_time() - began)
        nursery.cancel_scope.cancel()
    return core, takens


def start_server(command: list[str], env: dict[str, str]) -> tuple[subprocess.Popen[str], str]:
    server = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    if not url:
        raise SystemExit("the server did not start: its own message above says why")
    return server, url


async def main(args: argparse.Namespace) -> int:
    token = secrets.token_hex(8)
    with tempfile.TemporaryDirectory(prefix="callmood-wall-") as folder:
        command = [sys.executable, __file__, "--serve", folder, "--calls", str(args.calls)]
        env = {**os.environ, "WALL_TOKEN": token, "OPENBLAS_NUM_THREADS": "1"}
        server, url = start_server(command, env)
        try:
            if args.stay:
                print(f"{url}/live?token={token}", flush=True)
                await trio.sleep(args.stay)
            await trio.sleep(SETTLES_S)
            return await measure(args, server.pid, url, token)
        finally:
            server.kill()  # it would wait for its calls
            server.wait(10)


async def measure(args: argparse.Namespace, pid: int, url: str, token: str) -> int:
    alone, watched, takens = [], [], []
    for _ in range(ROUNDS):
        alone.append((await phase(pid, url, token, args.seconds, []))[0])
        used, some = await phase(pid, url, token, args.seconds, ["gzip"] * args.viewers)
        watched.append(used)
        takens += some
    (plain,) = (await phase(pid, url, token, args.seconds, ["identity"]))[1]
    ages = [age for taken in takens for age in taken.ages_s]
    added = float(np.median(np.subtract(watched, alone)))
    packed_kb = max(taken.bytes for taken in takens) / args.seconds / 1000
    figures = {
        "calls": args.calls,
        "viewers": args.viewers,
        "plainKBs": round(plain.bytes / args.seconds / 1000, 1),
        "gzipKBs": round(packed_kb, 1),
        "firstPlainKB": round(plain.first / 1000, 1),
        "firstGzipKB": round(takens[0].first / 1000, 1),
        "alonePercent": [round(each, 1) for each in alone],
        "watchedPercent": [round(each, 1) for each in watched],
        "addedPercent": round(added, 1),
        "ageP50Ms": round(1000 * float(np.percentile(ages, 50)), 1),
        "ageP99Ms": round(1000 * float(np.percentile(ages, 99)), 1),
    }
    report(figures)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0 if packed_kb < PROMISED_KB and added < PROMISED_CORE else 1


def report(found: dict[str, object]) -> None:
    print(f"{found['calls']} calls, {found['viewers']} viewers")
    for name in ("plain", "gzip"):
        rate = float(str(found[f"{name}KBs"]))
        print(
            f"{name:<6} {rate:7.1f} kB/s a viewer   promise {PROMISED_KB:.0f}   ratio {rate / PROMISED_KB:.2f}   "
            f"first message {found[f'first{name.capitalize()}KB']} kB"
        )
    print(f"server without viewers {found['alonePercent']} % of a core, with them {found['watchedPercent']}")
    added = float(str(found["addedPercent"]))
    print(f"added  {added:7.1f} % of a core      promise {PROMISED_CORE:.0f}    ratio {added / PROMISED_CORE:.2f}")
    print(f"age    p50 {found['ageP50Ms']} ms, p99 {found['ageP99Ms']} ms; made every 900 ms")


if __name__ == "__main__":
    chosen = arguments()
    if chosen.serve:
        trio.run(serve, chosen.serve, chosen.calls, os.environ["WALL_TOKEN"])
    else:
        sys.exit(trio.run(main, chosen))
