#!/usr/bin/env python3
"""What asking Hume in doubt costs: in latency of our own engine, whatever Hume does, and in seconds of audio sent.

  .venv/bin/python scripts/bench/hybrid.py                     # all of it: some seven minutes
  .venv/bin/python scripts/bench/hybrid.py --only latency --rounds 4
  .venv/bin/python scripts/bench/hybrid.py --only seconds --data DIR --hours 1
  .venv/bin/python scripts/bench/hybrid.py --only steady --minutes 10

latency   calls in real time with the local engine, beside a fake Hume in a process of its own: without one, healthy,
          stalled, refusing, flapping, gone; a few seconds of each in turn, again and again. Hume is asked all the
          time here, not only in doubt, which is the worst case. Judge the ratios to the calls without a Hume: the
          median over the rounds, since a busy machine hurts one round and spares the next; and the processor's
          time, which hardly depends on who else is busy.
seconds   the same calls on a jumping clock, asked in doubt as set: audio sent, against sending everything. DIR holds
          manifest.csv and its recordings; its calls and ravdess are made into conversations.
steady    a healthy Hume, asked all the time: no frame refused, one session a call. It takes a second a second: audio
          is sent in real time, and cannot be hurried.
"""

import argparse
import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import structlog
import trio
from trio.testing import MockClock

from agent.audiofile import load_telephone
from agent.calls.call import Call
from agent.calls.directory import CallDirectory, open_directory
from agent.core import mulaw
from agent.core.audio import Window
from agent.core.emotion import Emotion, EmotionReading, Outcome
from agent.engines.expressions import load
from agent.engines.hume import Hume
from agent.engines.local import LocalEngine
from agent.engines.streamed import StreamedEngine
from agent.engines.streamed.allowance import Allowance
from agent.evaluation.conditions import CONDITIONS, TELEPHONE
from agent.evaluation.conversations import TURNS, ordinary, sound_of, turning
from agent.evaluation.manifest import read_manifest
from agent.evaluation.runner import Ear
from agent.ledger.memory import MemoryLedger
from agent.ports import Engine
from agent.settings import Settings
from agent.testing import RecordingAssistant, ScriptedEngine, ScriptedLine
from agent.testing.fake_hume import FakeHume

VOICES = sorted((Path(__file__).parents[2] / "agent/demo/voices").glob("*.wav"))
CORPORA = ("calls", "ravdess")
FAULTS = {"healthy": None, "stalled": "stall", "refusing": "refuse", "flapping": "flap"}
ARMS = ("none", *FAULTS, "gone")
RATIO, DECISION_MS, FEWER, BILLED_AT_LEAST_S = 1.05, 150, 0.70, 10.0
ALWAYS = Settings(engine="hybrid", hybrid_low=0.0, hybrid_high=1.0)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("latency", "seconds", "steady"))
    parser.add_argument("--calls", type=int, default=4, help="at once")
    parser.add_argument("--rounds", type=int, default=5, help="of every arm, in random order")
    parser.add_argument("--seconds", type=float, default=10.0, help="of talk in a round")
    parser.add_argument("--minutes", type=float, default=1.0, help="of the steady run, in real time")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--hours", type=float, default=0.5, help="of ordinary conversations made from the data")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--be-hume", choices=tuple(FAULTS), help=argparse.SUPPRESS)
    return parser.parse_args()


# A Hume in a process of its own, so that its work is not ours.


def be_hume(state: str) -> None:
    async def serve() -> None:
        async with FakeHume.serve(lambda start_ms, end_ms: [("anger", 0.5), ("interest", 0.6)]) as hume:
            hume.fault = FAULTS[state]  # type: ignore[assignment]
            print(hume.url, hume.key, flush=True)
            await trio.to_thread.run_sync(sys.stdin.read)
            print(
                json.dumps({"refused": list(hume.refused), "mostOpen": hume.most_open, "sessions": len(hume.sessions)})
            )

    trio.run(serve)


@dataclass
class FarHume:
    """How to reach it, and what it says at the end."""

    url: str
    key: str
    said: dict = field(default_factory=dict)


@contextmanager
def far_hume(state: str) -> Iterator[FarHume]:
    if state == "gone":
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))  # bound, and never listening
            yield FarHume(f"ws://127.0.0.1:{bound.getsockname()[1]}", "nobody's")
        return
    command = [sys.executable, __file__, "--be-hume", state]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        hume = FarHume(*process.stdout.readline().split())
        yield hume
        process.stdin.close()
        hume.said = json.loads(process.stdout.readline())


def engine_at(hume: FarHume) -> StreamedEngine:
    vendor = Hume(base_url=hume.url, api_key=hume.key, expressions=load())
    return StreamedEngine(vendor, Allowance("Hume", seconds_per_call=1e6, sessions=1000))


# Calls.


@dataclass
class Measured:
    """Of one arm, milliseconds."""

    readings: list[float] = field(default_factory=list)
    """From the last sample of a window to our own engine's reading of it."""
    decisions: list[float] = field(default_factory=list)
    """From the last sample of the deciding window to the note."""
    cpu_s: float = 0.0
    """Of this process."""
    degraded: int = 0
    vendor_readings: int = 0


class Watch:
    """Listens to the timeline."""

    def __init__(self, measured: Measured) -> None:
        self._measured = measured
        self.began: dict[str, float] = {}

    def note(self, event: dict) -> None:
        if event["event"] == "audio.chunk" and event["source"] == "local":
            spoken_at = self.began[event["callSid"]] + event["endMs"] / 1000
            self._measured.readings.append(1000 * (trio.current_time() - spoken_at))
        elif event["event"] == "context.updated":
            self._measured.decisions.append(event["latencyMs"])
        self._measured.degraded += event["event"] == "analyzer.degraded"
        self._measured.vendor_readings += event["event"] == "audio.chunk" and event["source"] == "hume"


@asynccontextmanager
async def house(second: Engine | None, settings: Settings) -> AsyncIterator[CallDirectory]:
    async with open_directory(LocalEngine(), RecordingAssistant(), MemoryLedger(), settings, None, second) as directory:
        yield directory


async def one_call(directory: CallDirectory, call_sid: str, payload: bytes, watch: Watch | None = None) -> None:
    call = directory.register(call_sid, caller="+15550100001")
    assert call is not None
    call.attach_assistant("assistant")
    if watch is not None:
        watch.began[call_sid] = trio.current_time()
    if await ScriptedLine(payload).play(call.mailbox):
        call.end(Outcome.HANGUP)
    await gone(directory, call)


async def gone(directory: CallDirectory, call: Call) -> None:
    while directory.find(call.call_sid) is call:  # noqa: ASYNC110 - until it has wrapped up
        await trio.sleep(0.05)


async def talk(second: Engine | None, calls: int, seconds: float, measured: Measured) -> None:
    """So many calls at once, in real time, evenly shifted against each other."""
    watch = Watch(measured)
    async with house(second, ALWAYS) as directory:
        directory.broadcast.listen(watch.note)  # type: ignore[arg-type]
        async with trio.open_nursery() as nursery:
            for number in range(calls):
                voice = load_telephone(VOICES[number % len(VOICES)])
                payload = (voice * (1 + int(8000 * seconds) // len(voice)))[-int(8000 * seconds) :]  # angry at the end
                nursery.start_soon(one_call, directory, f"CA{number}", payload, watch)
                await trio.sleep(0.2 / calls)


# Latency, whatever Hume does.


def latency(args: argparse.Namespace) -> dict:
    rounds: list[dict[str, Measured]] = []
    for number in range(args.rounds):
        order = list(ARMS)
        random.Random(number).shuffle(order)
        rounds.append({arm: Measured() for arm in ARMS})
        for arm in order:
            began = time.process_time()
            trio.run(latency_of, arm, args, rounds[-1][arm])
            rounds[-1][arm].cpu_s = time.process_time() - began
    print(f"{'Hume':<10}{'p50 ms':>8}{'p99 ms':>8}{'ratios: p50':>13}{'p99':>7}{'cpu':>7}{'decision p99 ms':>17}")
    figures = {arm: figures_of(arm, rounds) for arm in ARMS}
    print(f"promise: ratios <= {RATIO}, decisions <= {DECISION_MS} ms")
    return figures


def figures_of(arm: str, rounds: list[dict[str, Measured]]) -> dict[str, float]:
    own = [each[arm] for each in rounds]
    p50, p99 = np.percentile([ms for each in own for ms in each.readings], [50, 99])
    decision = float(np.percentile([ms for each in own for ms in each.decisions] or [0.0], 99))
    pairs = [(each[arm], each["none"]) for each in rounds]
    ratio50, ratio99 = (
        float(np.median([np.percentile(a.readings, q) / np.percentile(b.readings, q) for a, b in pairs]))
        for q in (50, 99)
    )
    cpu = float(np.median([a.cpu_s / b.cpu_s for a, b in pairs]))
    hume_said, degraded = sum(each.vendor_readings for each in own), sum(each.degraded for each in own)
    print(
        f"{arm:<10}{p50:>8.2f}{p99:>8.2f}{ratio50:>13.3f}{ratio99:>7.2f}{cpu:>7.2f}{decision:>17.1f}"
        f"   {hume_said} of Hume's, degraded {degraded} times"
    )
    return {"p50": p50, "p99": p99, "ratio50": ratio50, "ratio99": ratio99, "cpu": cpu, "decision": decision}


async def latency_of(arm: str, args: argparse.Namespace, measured: Measured) -> None:
    if arm == "none":
        await talk(None, args.calls, args.seconds, measured)
        return
    with far_hume(arm) as hume:
        await talk(engine_at(hume), args.calls, args.seconds, measured)


# Seconds sent.


def seconds(args: argparse.Namespace) -> dict:
    spoken = {"demo voices": [load_telephone(voice) for voice in VOICES]}
    if args.data is not None:
        spoken |= conversations(args.data, args.hours)
    figures, sums = {}, np.zeros(3)
    print(f"{'':<22}{'calls':>6}{'all s':>9}{'sent s':>9}{'fewer':>8}{'billed s':>10}{'fewer':>8}{'sessions':>10}")
    for kind, payloads in spoken.items():
        sent = [trio.run(sent_of, payload, clock=MockClock(autojump_threshold=0)) for payload in payloads]
        everything = sum(max(BILLED_AT_LEAST_S, len(payload) / 8000) for payload in payloads)
        own = sum(map(sum, sent))
        billed = sum(max(BILLED_AT_LEAST_S, one) for each in sent for one in each)
        sums += (everything, own, billed)
        figures[kind] = {"everything": everything, "sent": own, "billed": billed}
        row(kind, len(payloads), everything, own, billed, sum(map(len, sent)))
    row("together", sum(map(len, spoken.values())), *sums, 0)
    print(f"promise: {FEWER:.0%} fewer; billed: a session costs {BILLED_AT_LEAST_S:g} s at the least")
    return figures


def row(kind: str, calls: int, everything: float, sent: float, billed: float, sessions: int) -> None:
    fewer, fewer_billed = 1 - sent / everything, 1 - billed / everything
    print(
        f"{kind:<22}{calls:>6}{everything:>9.0f}{sent:>9.0f}{fewer:>8.0%}{billed:>10.0f}{fewer_billed:>8.0%}"
        f"{sessions or '':>10}"
    )


async def sent_of(payload: bytes) -> list[float]:
    """Seconds of audio of each session that a call of this sound would open, connected at once."""
    hume = ScriptedEngine(calm, name="hume")
    async with house(hume, Settings(engine="hybrid")) as directory:
        await one_call(directory, "CA1", payload)
    return [session.heard_ms / 1000 for session in hume.sessions]


def calm(window: Window) -> EmotionReading:
    """What it answers changes nothing about when it is asked."""
    return EmotionReading(Emotion("neutral", 0.9), "hume", window.start_ms, window.end_ms, window.heard_at)


def conversations(folder: Path, hours: float) -> dict[str, list[bytes]]:
    rows = [row for row in read_manifest(folder / "manifest.csv") if row.corpus in CORPORA]
    ear = Ear(LocalEngine, CONDITIONS[TELEPHONE], {})
    plans = {"ordinary": ordinary(rows, hours), **{kind: turning(rows, kind, each=1) for kind in TURNS}}
    return {kind: [mulaw.encode(sound_of(plan, ear)) for plan in each] for kind, each in plans.items() if each}


# A healthy Hume, for longer.


def steady(args: argparse.Namespace) -> dict:
    measured = Measured()

    async def run() -> FarHume:
        with far_hume("healthy") as hume:
            await talk(engine_at(hume), args.calls, 60 * args.minutes, measured)
        return hume

    said = trio.run(run).said
    refused = len(said["refused"])
    print(
        f"{args.minutes:g} minutes of {args.calls} calls: {refused} frames refused, {said['sessions']} sessions, "
        f"{said['mostOpen']} at once at the most, {measured.vendor_readings} readings of Hume's, "
        f"degraded {measured.degraded} times"
    )
    return {**said, "refused": refused, "minutes": args.minutes}


def main() -> int:
    args = arguments()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    if args.be_hume:
        be_hume(args.be_hume)
        return 0
    parts = {"latency": latency, "seconds": seconds, "steady": steady}
    figures = {name: part(args) for name, part in parts.items() if args.only in (None, name)}
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
