#!/usr/bin/env python3
"""A hundred calls, each with faults of its own: is any of them ended or held up by us, and is everything given back?

    .venv/bin/python scripts/soak/chaos.py                        100 calls, half a minute
    .venv/bin/python scripts/soak/chaos.py --calls 1000           ten times that
    .venv/bin/python scripts/soak/chaos.py --quick                a few seconds
    .venv/bin/python scripts/soak/chaos.py --seed 7               the faults of an earlier run again
    .venv/bin/python scripts/soak/chaos.py --seed 7 --only 31     one of its calls alone, and what it suffers

What can go wrong is in `trouble.py`. A call is hurt by us when its stream is closed before its caller leaves, when it
ends as anything but what its caller did, or before; everything else must have no effect that it could notice. It is
freed when its end is in the timeline, which is the moment its slot is given back. Where nobody tells us that a call is
over, the time its line may be quiet (`line_quiet_s`, short here) is the caller's, and what comes after it is ours.
"""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

import trio
from churn import in_turn
from rig import BYTES_A_SECOND, VOICE, Service, Verdict, grown, open_service, percentile
from trouble import ASSISTANTS, BABBLE, ELSEWHERE, NOBODY, OVERSIZE, Trouble, draw

from agent.telephony.twiml import StreamPlan
from agent.testing import CallerStream, FakeVapi, HandshakeRefused
from agent.testing.sockets import Closed

LINE_QUIET_S, WRAP_UP_S = 3.0, 1.0
FREED_IN_S = WRAP_UP_S + 1.0
ANSWERED_IN_S = 5.0
CLOSED_IN_S = 8.0
"""How long a line that we should close is waited for: a mute one is listened to for five seconds."""
CLOCKS_AGREE_S = 0.1

UNREADABLE, TOO_BIG, REFUSED = (1008, "Too many unreadable messages"), 1009, 1008


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=20)
    parser.add_argument("--seed", type=int, help="draw the same faults again")
    parser.add_argument("--only", type=int, help="one call of this seed")
    parser.add_argument("--quick", action="store_true", help="12 calls that are over soon, for the test suite")
    args = parser.parse_args()
    if args.quick:
        args.calls, args.at_once = 12, 12
    args.seed = random.randrange(1_000_000) if args.seed is None else args.seed
    return args


@dataclass
class Stage:
    """The service, and the assistants' platforms: one for each thing that can be wrong with them."""

    service: Service
    vapis: Mapping[str, FakeVapi]
    witnesses: list["Witness"] = field(default_factory=list)
    answered_s: list[float] = field(default_factory=list)
    """How long each voice webhook took."""
    health_s: list[float] = field(default_factory=list)


@dataclass
class Witness:
    """What one caller saw."""

    trouble: Trouble
    call_sid: str
    hurt: str = ""
    """What we did to it that we should not have done."""
    left_at: float | None = None
    """Seconds since the epoch at which we could know that it is over."""
    freed_s: float | None = None
    """From then until it was freed."""

    def object_to(self, what: str) -> None:
        self.hurt = self.hurt or what


# --- one call ---------------------------------------------------------------------------------------------------------


class TroubledCaller:
    """One caller, and everything that goes wrong around the call."""

    def __init__(self, stage: Stage, trouble: Trouble) -> None:
        self._stage, self._trouble = stage, trouble
        self._phone = stage.service.caller()
        self._witness = Witness(trouble, self._phone.call_sid)
        stage.witnesses.append(self._witness)
        from_byte = int(BYTES_A_SECOND * trouble.start_s)
        lengths = [int(BYTES_A_SECOND * seconds) for seconds in trouble.parts_s]
        self._parts = VOICE[from_byte:][: lengths[0]], VOICE[from_byte + lengths[0] :][: lengths[1]]

    async def call(self) -> None:
        try:
            async with trio.open_nursery() as nursery:
                plan = await self._ring(1 + self._trouble.rings_before)
                if plan is not None:
                    nursery.start_soon(self._assist)
                    await self._talk(plan)
        except* HandshakeRefused as refused:
            self._witness.object_to(f"its stream was refused: {refused.exceptions}")

    async def _ring(self, times: int = 1) -> StreamPlan | None:
        """The voice webhook, so many times; what it answered last."""
        plan = None
        for _ in range(times):
            began = trio.current_time()
            placed = await self._phone.place()
            self._stage.answered_s.append(trio.current_time() - began)
            plan = placed.plan
            if plan is None:
                self._witness.object_to(f"its webhook was answered without a stream: {placed.error or placed.twiml}")
        return plan if plan is None or self._trouble.told else replace(plan, status_callback=None)

    async def _talk(self, plan: StreamPlan) -> None:
        if self._trouble.second != "takeover":
            await self._speak(plan, 0)
            return
        async with trio.open_nursery() as nursery:
            follow: StreamPlan | None = await nursery.start(self._begin, plan)
            if follow is not None:
                await self._speak(follow, 1)

    async def _begin(self, plan: StreamPlan, task_status: trio.TaskStatus[StreamPlan | None]) -> None:
        """The first part on a socket that another takes over from."""
        async with self._phone.stream(plan, self._trouble.pace) as line:
            await self._say(line, 0)
            task_status.started(await self._ring())
            await self._expect(line, REFUSED, "Superseded")

    async def _speak(self, plan: StreamPlan, first_part: int) -> None:
        async with trio.open_nursery() as nursery:
            async with self._phone.stream(plan, self._trouble.pace) as line:
                for part in range(first_part, len(self._parts)):
                    if part == 1:
                        nursery.start_soon(self._open_second, plan)
                        await self._disturb(line)
                    await self._say(line, part)
                await self._leave(line)
            if self._trouble.told:
                await self._tell()

    async def _say(self, line: CallerStream, part: int) -> None:
        await trio.sleep(self._trouble.holds_s[part])
        if not await line.play(self._parts[part]):
            self._witness.object_to(f"its stream was closed while it spoke: {line.closed}")

    async def _disturb(self, line: CallerStream) -> None:
        for message in self._trouble.nonsense:
            await line.send_raw(message)
        if self._trouble.rings_late:
            await self._ring()

    async def _open_second(self, plan: StreamPlan) -> None:
        """Another socket beside the call's own; it must be closed, and nothing else happen."""
        phone, plan = self._phone, replace(plan, status_callback=None)
        if self._trouble.second in ("", "takeover"):
            return
        if self._trouble.second == "stranger":
            phone = self._stage.service.caller()
            plan = replace(plan, url=plan.url.replace(self._phone.call_sid, phone.call_sid))
        async with phone.stream(plan, greet=self._trouble.second != "mute") as line:
            await self._expect(line, REFUSED)

    async def _leave(self, line: CallerStream) -> None:
        """End the call as the lot says. From here on it is ours to notice."""
        if line.closed is not None:
            self._witness.object_to(f"its stream was closed before it ended: {line.closed}")
        self._witness.left_at = time.time() + LINE_QUIET_S * self._trouble.found_out_later
        match self._trouble.ending:
            case "stop" | "close":
                await line.hang_up(stop=self._trouble.ending == "stop")
            case "reset":
                await line.reset()
            case "silent":
                line.fall_silent()
                if self._trouble.found_out_later:  # its last frames may have been lost on the way
                    assert line.sent_last_at is not None
                    self._witness.left_at -= trio.current_time() - line.sent_last_at
                await trio.sleep(0.5 if self._trouble.told else LINE_QUIET_S + 2 * FREED_IN_S)
                if self._trouble.told:
                    self._witness.left_at = time.time()
            case "babble":
                for _ in range(BABBLE):
                    await line.send_raw("{")
                await self._expect(line, *UNREADABLE)
            case "oversize":
                await line.send_raw("x" * OVERSIZE)
                await self._expect(line, TOO_BIG)

    async def _tell(self) -> None:
        """The call status callback; where another stream was announced, only this says that there will be none."""
        if self._trouble.rings_late:
            self._witness.left_at = time.time()
        for _ in range(1 + self._trouble.tells_twice):
            await self._phone.complete(1)

    async def _expect(self, line: CallerStream, code: int, reason: str = "") -> None:
        """Wait for us to close a line, with this code."""
        closed: Closed | None = None
        with trio.move_on_after(CLOSED_IN_S):
            closed = await line.wait_closed()
        if closed is None or closed.code != code or reason not in closed.reason:
            self._witness.object_to(f"a line was to be closed with {code} {reason}, but: {closed}")

    async def _assist(self) -> None:
        """The call's assistant: it reports, and its caller is said to be angry."""
        kind, service = self._trouble.assistant, self._stage.service
        if kind == NOBODY:
            return
        await trio.sleep(0.2)
        assistant = service.assistant(self._stage.vapis.get(kind, self._stage.vapis["sound"]), self._phone.call_sid)
        if kind == ELSEWHERE:
            assistant.facts = replace(assistant.facts, control_url="http://203.0.113.1/control")
        if self._trouble.junk:
            await junk(service, self._phone.call_sid)
        await assistant.send_status_update("in-progress")
        await assistant.start_turn("An answer that goes on and on.")
        await service.hear_anger(self._phone.call_sid)
        await assistant.end()


async def junk(service: Service, call_sid: str) -> None:
    """Server messages that cannot be read, with the right secret."""
    headers = {"X-Vapi-Secret": service.keys["VAPI_SECRET"]}
    bodies = (b"{", b"[]", b'{"message":7}', b'{"message":{"call":{"id":[]}}}', b'{"message":{"type":"status-update"}}')
    for body in (*bodies, f'{{"message":{{"type":"new","call":{{"phoneCallProviderId":"{call_sid}"}}}}}}'.encode()):
        await service.http.post(f"{service.url}/webhook/vapi", content=body, headers=headers)


# --- what else knocks -------------------------------------------------------------------------------------------------

SHORT_KNOCKS = (
    b"",
    b"GET /audio-stream/CA1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /voice/incoming HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nCallSid=",
    b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"A" * 70_000,
)
KNOCKS = (*SHORT_KNOCKS, b"GET /aud", b"GET /audio-stream/CA1 HTTP/1.1\r\nHost: x\r\n")
"""The last two are waited for, whether or not anybody is still there."""


async def strangers(service: Service, seed: int, knocks: tuple[bytes, ...]) -> None:
    """Connections that are nobody's call: half a request, none at all, something else; most leave without a word."""
    lot = random.Random(f"strangers {seed}")
    port = int(service.url.rpartition(":")[2])

    async def knock(said: bytes, stays_s: float) -> None:
        try:
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(said)
                await trio.sleep(stays_s)
        except trio.BrokenResourceError:
            pass

    async with trio.open_nursery() as nursery:
        while True:
            await trio.sleep(lot.uniform(0.05, 0.3))
            nursery.start_soon(knock, lot.choice(knocks), lot.uniform(0, 2))


async def probe(stage: Stage) -> None:
    """How long anybody waits for an answer meanwhile."""
    while True:
        began = trio.current_time()
        await stage.service.http.get(f"{stage.service.url}/healthz")
        stage.health_s.append(trio.current_time() - began)
        await trio.sleep(0.1)


# --- all of them ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def open_stage() -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(open_service(line_quiet_s=LINE_QUIET_S, wrap_up_s=WRAP_UP_S))
        vapis = {name: await stack.enter_async_context(FakeVapi.serve()) for name in ASSISTANTS}
        for name, fault in ASSISTANTS.items():
            vapis[name].fault = fault
        yield Stage(service, vapis)


async def main(args: argparse.Namespace) -> int:
    numbers = [args.only] if args.only is not None else range(args.calls)
    lots = [draw(args.seed, number) for number in numbers]
    if args.quick:
        lots = [lot for lot in map(partial(draw, args.seed), range(10 * args.calls)) if lot.brief][: args.calls]
    print(f"seed {args.seed}: {len(lots)} calls, {args.at_once} at once", flush=True)
    verdict = Verdict(timed=not args.quick)
    async with open_stage() as stage:
        service = stage.service
        fresh = await service.look()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(probe, stage)
            nursery.start_soon(strangers, service, args.seed, SHORT_KNOCKS if args.quick else KNOCKS)
            await in_turn((TroubledCaller(stage, lot).call for lot in lots), args.at_once)
            nursery.cancel_scope.cancel()
        live = await service.empty(LINE_QUIET_S + FREED_IN_S)
        judge_calls(verdict, stage, await service.entries())
        verdict.note("audio dropped", await dropped(service))
        after = await service.at_rest(fresh)
        verdict.note("memory at rest", f"{fresh.memory_kb / 1024:.1f} -> {after.memory_kb / 1024:.1f} MB")
        verdict.nothing_left(fresh, after, live)
        await verdict.ends_well(service)
    if args.only is not None:
        print(lots[0])
    if verdict.failed:
        print(*grown(fresh, after), sep="\n", file=sys.stderr)
    return verdict.report(f"chaos: {len(lots)} calls, --seed {args.seed}")


def judge_calls(verdict: Verdict, stage: Stage, entries: Mapping[str, Mapping[str, Any]]) -> None:
    for witness in stage.witnesses:
        judge(witness, entries.get(witness.call_sid, {}))
    freed_s = [witness.freed_s for witness in stage.witnesses if witness.freed_s is not None]
    hurt = [witness for witness in stage.witnesses if witness.hurt]
    for witness in stage.witnesses:
        if witness.hurt or (witness.freed_s or 0) > FREED_IN_S:
            what = witness.hurt or f"it was freed after {witness.freed_s:.2f} s"
            print(f"{witness.trouble}\n    {witness.call_sid}: {what}", file=sys.stderr)
    endings = Counter(witness.trouble.ending for witness in stage.witnesses)
    verdict.note("endings", " ".join(f"{name} {count}" for name, count in sorted(endings.items())))
    verdict.note("outcomes", dict(Counter(entry["outcome"] for entry in entries.values())))
    verdict.check("ended or delayed by us", len(hurt), "0", not hurt)
    p50, p99, most = percentile(freed_s, 50), percentile(freed_s, 99), max(freed_s, default=0.0)
    freed = f"p50 {p50:.2f}, p99 {p99:.2f}, max {most:.2f} s"
    verdict.check_time("from hang-up to freed", freed, f"p99 <= {FREED_IN_S:.0f} s", p99 <= FREED_IN_S)
    slowest = max(stage.answered_s)
    answered = f"p50 {percentile(stage.answered_s, 50):.2f}, max {slowest:.2f} s"
    verdict.check_time("webhooks answered", answered, f"<= {ANSWERED_IN_S:.0f} s", slowest <= ANSWERED_IN_S)
    p50, p99 = percentile(stage.health_s, 50), percentile(stage.health_s, 99)
    verdict.note("health answered", f"p50 {1000 * p50:.0f}, p99 {1000 * p99:.0f} ms")


def judge(witness: Witness, entry: Mapping[str, Any]) -> None:
    """Compare what a call's entry says with what its caller did."""
    if witness.left_at is None:
        witness.object_to("it never got as far as hanging up")
        return
    if entry.get("outcome") != witness.trouble.outcome:
        witness.object_to(f"its outcome is {entry.get('outcome')}, not {witness.trouble.outcome}")
        return
    witness.freed_s = datetime.fromisoformat(entry["endedAt"]).timestamp() - witness.left_at
    if witness.freed_s < -CLOCKS_AGREE_S:
        witness.object_to(f"it was ended {-witness.freed_s:.2f} s before it was over")


async def dropped(service: Service) -> str:
    """Audio that we threw away, over all calls."""
    page = (await service.http.get(f"{service.url}/metrics")).text.splitlines()
    line = 'callmood_audio_missing_ms_total{cause="dropped"}'
    return f"{sum(float(row.split()[-1]) for row in page if row.startswith(line)):.0f} ms"


if __name__ == "__main__":
    sys.exit(trio.run(partial(main, arguments())))
