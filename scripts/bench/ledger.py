#!/usr/bin/env python3
"""What does it cost to keep calls, and to look them up when there are many?

    .venv/bin/python scripts/bench/ledger.py --calls 100000

A ledger in a temporary folder is filled with finished calls. Then, on this machine:

  GET /calls          from asking a service on this ledger to the whole answer: the newest hundred, a page from the
                      middle, and one call with its timeline
  callmood show       a process from start to end, less the same in a folder with a single call
  CPU per call-second of 400 calls at once, each with three lines and three steps a second, written as the service
                      writes them; less the same loop with a ledger that keeps nothing
  callmood replay     a call of ten minutes, five readings a second, read from the ledger and decided again: how many
                      times faster than it was, by CPU

Judge a figure by its ratio to the promise beside it. `alive` is GET /healthz: what any answer costs on this machine
now.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
import trio

from agent.actors.recording import Recorder
from agent.calls.stepcode import encode
from agent.core.emotion import LABELS, Emotion, EmotionReading
from agent.core.instants import instant
from agent.core.steps import Setup
from agent.http import client, httpx
from agent.ledger.reading import open_ledger
from agent.ledger.sqlite import SqliteLedger, open_sqlite
from agent.ledger.store import Store
from agent.ledger.waiting import Beginning, Item, Kind
from agent.rulefile import shipped
from agent.service import Ready, run_service
from agent.settings import LedgerSettings, Secret, Settings
from agent.whatif import try_call

PAGE_MS, SHOW_MS, CPU_MS = 50, 100, 0.05
CALLS_AT_ONCE, LINES_A_SECOND = 400, 3
CALLS_A_WRITE = 500
TOKEN = "bench"  # noqa: S105
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=30.0, help="of writing")
    parser.add_argument("--asked", type=int, default=100, help="requests of each kind")
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args()


# --- a ledger full of calls ---


def sid(number: int) -> str:
    return f"CA{number:032x}"


def line(number: int, t: int, event: str, **fields: object) -> bytes:
    at = instant(BEGAN + timedelta(seconds=number, milliseconds=t))
    return msgspec.json.encode({"t": t, "at": at, "callSid": sid(number), "event": event, **fields})


def reading(number: int, t: int) -> bytes:
    scores = {"neutral": 0.61, "happy": 0.1, "sad": 0.06, "fearful": 0.03, "angry": 0.12, "frustrated": 0.08}
    emotion = {"label": "neutral", "score": 0.61}
    return line(
        number, t, "audio.chunk", emotion=emotion, scores=scores, startMs=t, endMs=t + 1000, quality=0.9, source="local"
    )


def whole_call(number: int) -> Iterator[Item]:
    began = instant(BEGAN + timedelta(seconds=number))
    yield Kind.BEGIN, sid(number), Beginning(f"+1555{number:07d}", began, "local 1")
    yield Kind.LINE, sid(number), line(number, 0, "call.started", attach="bridge", vapiCallId=None, caller="***01")
    for n in range(3):
        yield Kind.LINE, sid(number), reading(number, 300 * n)
        yield Kind.STEP, sid(number), b"\x9a" * 120
    summary = {"vapiCallId": None, "mood": {"label": "neutral", "score": 0.6, "trend": "steady"}, "bufferSize": 3}
    yield (
        Kind.LINE,
        sid(number),
        line(number, 1000, "call.ended", outcome="hangup", durationMs=1000, summary=summary),
    )


def fill(folder: Path, calls: int) -> None:
    store = Store(folder)
    for start in range(0, calls, CALLS_A_WRITE):
        store.write([item for n in range(start, min(start + CALLS_A_WRITE, calls)) for item in whole_call(n)])
        store.settle()
    store.close()


# --- looking up ---


@asynccontextmanager
async def service(folder: Path) -> AsyncIterator[str]:
    kept = LedgerSettings(readings_days=36_500, calls_days=36_500)  # none of these calls is too old
    settings = Settings(data=str(folder), token=Secret(TOKEN), port=0, attach="bridge", drain_s=0.1, ledger=kept)
    async with trio.open_nursery() as nursery:
        stop = trio.Event()

        async def run(task_status: trio.TaskStatus[Ready]) -> None:
            await run_service(settings, insecure=True, stop=stop, task_status=task_status)

        ready: Ready = await nursery.start(run)
        yield ready.url
        stop.set()


async def ask(http: httpx.AsyncClient, url: str, times: int) -> list[float]:
    """Milliseconds of each answer."""
    taken = []
    for _ in range(times + 5):
        begun = time.perf_counter()
        answer = await http.get(url, headers={"Authorization": f"Bearer {TOKEN}"})
        taken.append(1000 * (time.perf_counter() - begun))
        assert answer.status_code == 200, answer.text
    return taken[5:]


async def look_up(folder: Path, args: argparse.Namespace) -> dict[str, list[float]]:
    middle = sid(args.calls // 2)
    async with service(folder) as url, client() as http:
        return {
            name: await ask(http, url + path, args.asked)
            for name, path in (
                ("alive", "/healthz"),
                ("newest page", "/calls"),
                ("page of the middle", f"/calls?before={middle}"),
                ("one call", f"/calls/{middle}"),
            )
        }


def show_ms(full: Path, single: Path, named: str, times: int = 9) -> tuple[float, float]:
    """What `callmood show` takes beyond start-up: milliseconds of time and of CPU, the quickest of a few runs of each:
    the others had to share the machine."""
    taken: dict[Path, list[tuple[float, float]]] = {full: [], single: []}
    for _ in range(times):
        for folder, call in ((full, named), (single, sid(0))):
            begun, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
            command = [sys.executable, "-m", "agent", "show", call, "--json"]
            subprocess.run(command, check=True, capture_output=True, env={"CALLMOOD_DATA": str(folder)}, timeout=60)
            used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - used
            taken[folder].append((time.perf_counter() - begun, used))
    wall, cpu = (1000 * (min(t[n] for t in taken[full]) - min(t[n] for t in taken[single])) for n in (0, 1))
    return wall, cpu


# --- writing ---


class Keeper(Protocol):
    def append(self, call_sid: str, line: bytes) -> None: ...
    def keep(self, call_sid: str, step: bytes) -> None: ...


class Nobody:
    """Keeps nothing."""

    def append(self, call_sid: str, line: bytes) -> None:
        return

    def keep(self, call_sid: str, step: bytes) -> None:
        return


async def write(ledger: Keeper, seconds: float) -> float:
    """Milliseconds of CPU per call-second."""
    calls = [(sid(n), reading(n, 1000)) for n in range(CALLS_AT_ONCE)]
    step = b"\x9a" * 120
    begun, cpu, done = trio.current_time(), time.process_time(), 0
    while (elapsed := trio.current_time() - begun) < seconds:
        for turn in range(done, goal := int(elapsed * LINES_A_SECOND * CALLS_AT_ONCE)):
            name, event = calls[turn % CALLS_AT_ONCE]
            ledger.append(name, event)
            ledger.keep(name, step)
        done = goal
        await trio.sleep(0.02)
    return 1000 * (time.process_time() - cpu) / (done / LINES_A_SECOND)


async def write_both(seconds: float) -> tuple[float, int]:
    """CPU of keeping alone, and how many lines gave way."""
    alone = await write(Nobody(), seconds / 4)
    with tempfile.TemporaryDirectory() as folder:
        async with open_sqlite(Path(folder)) as ledger:
            for n in range(CALLS_AT_ONCE):
                ledger.begin(sid(n), caller=f"+1555{n:07d}")
            await ledger.flush()
            kept = await write(ledger, seconds)
            await ledger.flush()
            return kept - alone, ledger.dropped


# --- deciding again ---

TALK_S, READINGS_A_SECOND = 600.0, 5
SETUP = Setup(0.7, 500, (), 3.0, 3, 30.0, 50, 30, 0.5, 1.0, 6, 200, 0.85)


def talk(ledger: SqliteLedger, name: str) -> None:
    """A caller who is angry every other half minute, as the service records one."""
    recorder = Recorder(lambda step: ledger.keep(name, encode(step)), partial(ledger.know, name, "rules"))
    tracker, rules, state = SETUP.tracker(), SETUP.rules(shipped(SETUP.act_at)), State()
    recorder.began(0.0, made_by="bench", engine="local", model="bench", setup=SETUP)
    for n in range(int(TALK_S * READINGS_A_SECOND)):
        now = n / READINGS_A_SECOND
        score, label = 0.8 + 0.1 * (n % 7) / 7, "angry" if now % 60 > 30 else "neutral"
        scores = {each: score if each == label else (1 - score) / 5 for each in LABELS}
        heard = EmotionReading(Emotion(label, score), "local", n * 200, n * 200 + 1500, now, scores, 0.9, 900)
        tracker.take(heard, now)
        recorder.took(heard, now)
        decision = rules.decide(tracker.mood(now), now, assistant_speaking=True, may_transfer=False)
        recorder.asked(state, rules.book, decision, now)
    recorder.ended(TALK_S)


class State:
    """A call whose assistant talks on, and which nobody takes over."""

    assistant_speaking = assistant_attached = True
    may_transfer = handed_over = False

    def claim_transfer(self, rule: str) -> bool:
        return False

    def believe(self, verdict: object) -> None:
        return


async def replay_speed() -> float:
    """How many times faster than the call, by CPU."""
    with tempfile.TemporaryDirectory() as folder:
        async with open_sqlite(Path(folder)) as ledger:
            ledger.begin(sid(0), caller="")
            talk(ledger, sid(0))
            ledger.append(sid(0), line(0, round(1000 * TALK_S), "call.ended", outcome="hangup", summary={}))
            await ledger.flush()
        with open_ledger(Path(folder)) as reader:
            [row] = reader.calls()
            begun = time.process_time()
            tried = try_call(reader, row)
            took_s = time.process_time() - begun
    assert tried.as_it_was, tried.incomplete
    return TALK_S / took_s


def report(figures: dict[str, float], args: argparse.Namespace) -> None:
    for name, value, promise in (
        ("GET /calls, newest page, p50", figures["newest page p50"], PAGE_MS),
        ("GET /calls, newest page, p95", figures["newest page"], PAGE_MS),
        ("GET /calls, a page of the middle, p95", figures["page of the middle"], PAGE_MS),
        ("GET /calls/{callSid}, p95", figures["one call"], PAGE_MS),
        ("callmood show, beyond start-up", figures["show"], SHOW_MS),
        ("the same, CPU", figures["show cpu"], SHOW_MS),
        ("CPU per call-second", figures["cpu"], CPU_MS),
    ):
        print(f"{name:<40} {value:8.3f} ms   promise {promise} ms   ratio {value / promise:.2f}")
    print(f"{'callmood replay':<40} {figures['replay']:8.0f} times as fast as the call")
    print(f"alive p50 {figures['alive p50']:.1f} ms, p95 {figures['alive']:.1f} ms")
    print(f"{figures['megabytes']:.0f} MB on disk; {figures['dropped']:.0f} lines gave way")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")


def main() -> int:
    args = arguments()
    with tempfile.TemporaryDirectory() as full, tempfile.TemporaryDirectory() as single:
        fill(Path(full), args.calls)
        fill(Path(single), 1)
        looked = trio.run(look_up, Path(full), args)
        figures = {name: float(np.percentile(taken, 95)) for name, taken in looked.items()}
        figures |= {f"{name} p50": float(np.median(taken)) for name, taken in looked.items()}
        named = sid(args.calls // 3)[-12:]
        figures["show"], figures["show cpu"] = show_ms(Path(full), Path(single), named)
        figures["megabytes"] = sum(path.stat().st_size for path in Path(full).iterdir()) / 1e6
    figures["cpu"], figures["dropped"] = trio.run(write_both, args.seconds)
    figures["replay"] = trio.run(replay_speed)
    report(figures, args)
    return 0 if figures["dropped"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
