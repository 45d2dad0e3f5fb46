#!/usr/bin/env python3
"""A thousand short calls, twenty at a time: does anything stay behind?

    .venv/bin/python scripts/soak/churn.py               about three minutes
    .venv/bin/python scripts/soak/churn.py --quick       a few seconds
    .venv/bin/python scripts/soak/churn.py --trace       slower, and names the lines of code that grew

Every call is whole: signed webhook, signed stream with a second or two of speech, callbacks. Every third one has a Vapi
attached, which reports and is told what the caller's mood is. The first calls warm the service up and fill what is
bounded (the last 4,096 events are kept for those who come back to /events); what it holds then is what it may hold at
the end. The list of ended calls is kept on purpose (10,000 of them, about a kilobyte each), and is part of the growth.
"""

import argparse
import random
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import trio
from rig import BYTES_A_SECOND, VOICE, Service, Verdict, every, grown, open_service, percentile, slope

from agent.testing import CallResult, FakeVapi, Pace

MAY_GROW_KB, QUICK_MAY_GROW_KB = 2048, 8192
"""A few dozen calls do not fill what is bounded."""
ATTACHED_EVERY = 3
LONGER_S = 1.0
"""They talk so much longer: on a busy machine, too, they are to hear of their mood before they hang up."""
TOLD_IN_S = 2.0
TOLD_SHARE = 0.9
"""Of the attached calls; the others hung up first."""
STAGGER_S = 0.05


@dataclass
class Tally:
    """What the callers saw."""

    results: list[CallResult] = field(default_factory=list)
    attached: set[str] = field(default_factory=set)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--warm-up", type=int, default=1000, help="calls before it counts")
    parser.add_argument("--at-once", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trace", action="store_true", help="trace allocations in the service")
    parser.add_argument("--quick", action="store_true", help="24 calls after 24, for the test suite")
    args = parser.parse_args()
    if args.quick:
        args.calls, args.warm_up = 24, 24
    return args


async def in_turn(work: Iterable[Callable[[], Awaitable[None]]], at_once: int) -> None:
    """Do all of it, so much at once."""
    waiting = iter(work)

    async def worker(number: int) -> None:
        await trio.sleep(STAGGER_S * number)
        for piece in waiting:
            await piece()

    async with trio.open_nursery() as nursery:
        for number in range(at_once):
            nursery.start_soon(worker, number)


async def one_call(service: Service, vapi: FakeVapi, tally: Tally, seed: int, number: int) -> None:
    chance = random.Random(f"{seed} {number}")
    attached = number % ATTACHED_EVERY == 0
    start_s, length_s = chance.uniform(0, 10), chance.uniform(1, 2) + LONGER_S * attached
    audio = VOICE[int(BYTES_A_SECOND * start_s) :][: int(BYTES_A_SECOND * length_s)]
    caller = service.caller()
    async with trio.open_nursery() as nursery:
        if attached:
            nursery.start_soon(attach, service, vapi, caller.call_sid, tally)
        tally.results.append(await caller.call(audio, Pace()))


async def attach(service: Service, vapi: FakeVapi, call_sid: str, tally: Tally) -> None:
    """Vapi takes the call, begins to speak, and hears of an angry caller."""
    await trio.sleep(0.3)
    assistant = service.assistant(vapi, call_sid)
    tally.attached.add(assistant.facts.call_id)
    await assistant.send_status_update("in-progress")
    await assistant.start_turn("An answer that goes on and on.")
    await service.hear_anger(call_sid)
    with trio.move_on_after(TOLD_IN_S):
        await vapi.wait_for(lambda said: said.call_id == assistant.facts.call_id and said.body["type"] == "add-message")
    await assistant.end()


async def main(args: argparse.Namespace) -> int:
    tally, points, verdict = Tally(), list[tuple[float, float]](), Verdict()
    async with open_service(trace=args.trace) as service, FakeVapi.serve() as vapi:
        call = partial(partial, one_call, service, vapi, tally, args.seed)
        fresh = await service.look()
        print(f"warming up with {args.warm_up} calls, {args.at_once} at once", flush=True)
        await in_turn((call(n) for n in range(args.warm_up)), args.at_once)
        await service.entries()
        before = await service.at_rest(fresh)
        if args.trace:
            await service.explain()
        print(f"{args.calls} calls", flush=True)
        last = args.warm_up + args.calls
        async with every(1.0, service.pid, points):
            await in_turn((call(n) for n in range(args.warm_up, last)), args.at_once)
        live = await service.empty()
        entries = await service.entries()
        after = await service.at_rest(fresh)
        if args.trace:
            print(*await service.explain(), sep="\n", file=sys.stderr)
        judge_calls(verdict, tally, vapi, Counter(entry["outcome"] for entry in entries.values()), last)
        grew, may_grow = after.memory_kb - before.memory_kb, QUICK_MAY_GROW_KB if args.quick else MAY_GROW_KB
        a_thousand = 1000 * points[-1][0] / args.calls if points else 0.0
        verdict.note("slope", f"{slope(points) * a_thousand / 1024:+.2f} MB per 1,000 calls")
        verdict.check(
            "memory at rest",
            f"{before.memory_kb / 1024:.1f} -> {after.memory_kb / 1024:.1f} MB ({grew / 1024:+.2f})",
            f"<= {may_grow / 1024:+.0f} MB",
            grew <= may_grow,
        )
        verdict.note("blocks of Python's", f"{before.blocks:,} -> {after.blocks:,}")
        verdict.note("given away by C's allocator", f"{before.system_kb:,} -> {after.system_kb:,} kB")
        verdict.nothing_left(fresh, after, live)
        await verdict.ends_well(service)
    if verdict.failed:
        print(*grown(before, after), sep="\n", file=sys.stderr)
    return verdict.report(f"churn: {args.calls} calls after {args.warm_up}, {args.at_once} at once")


def judge_calls(verdict: Verdict, tally: Tally, vapi: FakeVapi, outcomes: Counter[str], calls: int) -> None:
    """Every call was taken, heard to its end, and told of where there was somebody to tell."""
    hurt = [result for result in tally.results if not result.ok]
    told = {message.call_id for message in vapi.messages if message.body["type"] == "add-message"}
    lags = [1000 * result.max_lag_s for result in tally.results]
    verdict.check("calls refused or cut off", len(hurt), "0", not hurt)
    verdict.check("outcomes", dict(outcomes), f"{calls} hangup", outcomes == {"hangup": calls})
    enough = TOLD_SHARE * len(tally.attached)
    verdict.check("assistants told", f"{len(told)} of {len(tally.attached)}", f">= {enough:.0f}", len(told) >= enough)
    verdict.note("callers' own lag p50, max", f"{percentile(lags, 50):.0f}, {max(lags):.0f} ms")


if __name__ == "__main__":
    sys.exit(trio.run(main, arguments()))
