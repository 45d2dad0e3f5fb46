#!/usr/bin/env python3
"""A call of an hour: does its memory grow with its length?

    .venv/bin/python scripts/soak/hour.py                an hour in about a minute, on a clock that jumps
    .venv/bin/python scripts/soak/hour.py --socket       the same at twenty times the speed, into a real service
    .venv/bin/python scripts/soak/hour.py --quick        a few minutes of audio; with --socket as well

On the jumping clock the call runs in this process: the real directory, the real tree of actors and the real engine, on
a line that loses a frame in a hundred and delays the others. Over a socket it is a service of its own with its ledger.

Memory is noted every so often. What comes in the first part of the call is the warm-up; the slope over the rest is the
median of the slopes between all pairs of notes, so that a single page more or less does not matter.
"""

import argparse
import gc
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import trio
from rig import BYTES_A_SECOND, VOICE, Verdict, memory_kb, open_service, slope
from trio.testing import MockClock

from agent.calls.broadcast import KEPT
from agent.calls.call import Call
from agent.calls.directory import CallDirectory, open_directory
from agent.core.emotion import Outcome
from agent.engines.local import LocalEngine
from agent.ledger.memory import MemoryLedger
from agent.settings import Settings
from agent.testing import CallResult, Pace, RecordingAssistant, ScriptedLine

MAY_GROW_MB = 1.0
"""Per hour of audio."""
QUICK_MAY_GROW_MB = 8.0
"""In a service that has just begun: a minute does not fill what is bounded."""
READINGS_A_SECOND = 2.0
"""At least; five windows a second are judged, those without speech are not."""
PACE = Pace(loss=1.0, jitter_ms=40)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60, help="of audio")
    parser.add_argument("--warm-up", type=float, default=20, help="minutes of audio before it counts")
    parser.add_argument("--socket", action="store_true", help="into a service of its own")
    parser.add_argument("--speed", type=float, default=20, help="over the socket")
    parser.add_argument("--quick", action="store_true", help="for the test suite: what it grows by, not per hour")
    args = parser.parse_args()
    if args.quick:
        args.minutes, args.warm_up = (2.0, 1.0) if args.socket else (4.0, 2.0)
    return args


@dataclass
class Growth:
    """Memory over the length of a call: (minutes of audio, kilobytes)."""

    notes: list[tuple[float, float]] = field(default_factory=list)

    def note(self, minutes: float, pid: int | str = "self") -> None:
        self.notes.append((minutes, memory_kb(pid)))

    def judge(self, verdict: Verdict, args: argparse.Namespace) -> None:
        """What the notes after the warm-up say."""
        counted = [(minutes / 60, kb / 1024) for minutes, kb in self.notes if minutes >= args.warm_up]
        an_hour = slope(counted)
        share = (counted[-1][0] - counted[0][0]) if args.quick else 1.0
        label, unit = ("growth", "MB") if args.quick else ("slope", "MB per hour of audio")
        along = [mb for _, mb in counted[:: max(1, len(counted) // 7)]]
        verdict.note("memory after warm-up, MB", " ".join(f"{mb:.1f}" for mb in (*along, counted[-1][1])))
        grew, may_grow = an_hour * share, QUICK_MAY_GROW_MB if args.quick and args.socket else MAY_GROW_MB
        verdict.check(label, f"{grew:+.3f} {unit}", f"<= {may_grow:.0f}", grew <= may_grow)


def speech(minutes: float) -> bytes:
    """So much of the bundled voice, again and again."""
    length = int(60 * minutes) * BYTES_A_SECOND
    return (VOICE * (length // len(VOICE) + 1))[:length]


# --- on a clock that jumps --------------------------------------------------------------------------------------------


class CountingLedger(MemoryLedger):
    """Counts what it is given and keeps nothing: the memory measured is the call's."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.last: Mapping[str, Any] = {}

    def append(self, call_sid: str, line: bytes) -> None:
        self.last = msgspec.json.decode(line)
        self.counts[self.last["event"]] += 1

    def keep(self, call_sid: str, step: bytes) -> None:
        return

    async def flush(self) -> None:
        await trio.lowlevel.checkpoint()


async def in_process(args: argparse.Namespace, verdict: Verdict) -> None:
    growth, ledger, line = Growth(), CountingLedger(), ScriptedLine(speech(args.minutes), PACE)
    settings = Settings()
    async with open_directory(LocalEngine(), RecordingAssistant(), ledger, settings) as directory:
        fill(directory)
        call = directory.register("CA1", caller="+15550100001")
        assert call is not None
        call.attach_assistant("vapi-1")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(note_growth, growth, 0.5 if not args.quick else 0.1)
            await line.play(call.mailbox)
            nursery.cancel_scope.cancel()
        call.end(Outcome.HANGUP)
        with trio.move_on_after(settings.wrap_up_s + 1):
            while directory.find(call.call_sid):  # noqa: ASYNC110 - a clock that jumps polls for nothing
                await trio.sleep(0.01)
        judge_call(verdict, call, len(directory), line, ledger, args.minutes)
    growth.judge(verdict, args)


def fill(directory: CallDirectory) -> None:
    """What is kept of the newest events is bounded: fill it, so that its filling is not taken for growth."""
    filler = {"t": 0, "at": "", "callSid": "CA0", "event": "context.failed"}
    for ordinal in range(KEPT):
        directory.broadcast.publish("CA0", ordinal, filler, bytes(400))


async def note_growth(growth: Growth, every_minutes: float) -> None:
    while True:
        await trio.sleep(60 * every_minutes)
        gc.collect()
        growth.note(trio.current_time() / 60)


def judge_call(
    verdict: Verdict, call: Call, live: int, line: ScriptedLine, ledger: CountingLedger, minutes: float
) -> None:
    """It was heard from beginning to end."""
    chunks, enough = ledger.counts["audio.chunk"], READINGS_A_SECOND * 60 * minutes
    verdict.note("events", dict(ledger.counts))
    verdict.check("readings", chunks, f">= {enough:.0f}", chunks >= enough)
    verdict.check("ended", ledger.last.get("outcome"), "hangup", ledger.last.get("outcome") == "hangup")
    length_min = ledger.last.get("durationMs", 0) / 60_000
    verdict.check("length", f"{length_min:.2f} min", f">= {minutes:.0f}", length_min >= minutes)
    verdict.check("line held up", f"{1000 * line.max_lag_s:.1f} ms", "0", line.max_lag_s == 0)
    verdict.check("blocks dropped", call.mailbox.dropped, "0", call.mailbox.dropped == 0)
    verdict.check("live calls", live, "0", live == 0)


# --- over a socket ----------------------------------------------------------------------------------------------------


async def over_socket(args: argparse.Namespace, verdict: Verdict) -> None:
    growth, results = Growth(), list[CallResult]()
    async with open_service() as service:
        fresh = await service.look()
        caller = service.caller()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(note_service, growth, service.pid, args.speed)
            results.append(await caller.call(speech(args.minutes), replace(PACE, speed=args.speed)))
            nursery.cancel_scope.cancel()
        live = await service.empty()
        events = await service.timeline(caller.call_sid)
        after = await service.at_rest(fresh)
        growth.judge(verdict, args)
        judge_result(verdict, results[0], events, args.minutes)
        verdict.nothing_left(fresh, after, live)
        await verdict.ends_well(service)


async def note_service(growth: Growth, pid: int, speed: float) -> None:
    began = trio.current_time()
    while True:
        await trio.sleep(1.0)
        growth.note((trio.current_time() - began) * speed / 60, pid)


def judge_result(verdict: Verdict, result: CallResult, events: list[dict[str, Any]], minutes: float) -> None:
    counts = Counter(event["event"] for event in events)
    dropped = sum(event["ms"] for event in events if event["event"] == "audio.gap" and event["cause"] == "dropped")
    enough = READINGS_A_SECOND * 60 * minutes
    verdict.note("events", dict(counts))
    verdict.check("call", result.error or result.closed, "ok", result.ok)
    verdict.check("readings", counts["audio.chunk"], f">= {enough:.0f}", counts["audio.chunk"] >= enough)
    verdict.check("ended", events[-1].get("outcome"), "hangup", events[-1].get("outcome") == "hangup")
    verdict.note("audio dropped", f"{dropped} ms")
    verdict.note("caller's own lag at the most", f"{1000 * result.max_lag_s:.0f} ms")


def main() -> int:
    args, verdict, began = arguments(), Verdict(), time.monotonic()
    if args.socket:
        trio.run(over_socket, args, verdict)
    else:
        trio.run(in_process, args, verdict, clock=MockClock(autojump_threshold=0))
    took_s = time.monotonic() - began
    verdict.note("took", f"{took_s:.0f} s, {60 * args.minutes / took_s:.0f} times the speed")
    return verdict.report(f"one call of {args.minutes:.0f} minutes {'over a socket' if args.socket else 'in process'}")


if __name__ == "__main__":
    sys.exit(main())
