"""The whole bench, one part after the other, each with a server of its own."""

import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace

import trio

from ..errors import CallmoodError
from . import capacity, measure, step
from .load import Load, calling
from .peers import PEERS
from .result import SPEED, Plan, Result, described
from .sampling import SAMPLES
from .server import Kind, Running, callmood
from .step import Step

Say = Callable[[str], None]

COMPARED = 100
"""Calls at which the parts are taken apart and others are compared."""
AT_MOST = 4000
LONG_CALLS = 4
LOOKS = 8
"""At memory and CPU in the course of a long call."""


class Bench:
    """One run."""

    def __init__(self, plan: Plan, say: Say) -> None:
        self.plan, self.say, self.result = plan, say, Result()
        mine = sorted(os.sched_getaffinity(0))
        self.server_cores: Sequence[int] = mine[:1]
        self.load_cores: Sequence[int] = mine[1:] or mine
        self.result.machine = described(mine)

    @asynccontextmanager
    async def server(self, kind: Kind, *, speed: float = 1.0) -> AsyncIterator[tuple[Running, Load]]:
        async with callmood(kind) as running, calling(running.server, speed=speed) as load:
            yield running, load

    def kind(self, *, unheard: bool = False, sampled: bool = False) -> Kind:
        return Kind(cores=self.server_cores, unheard=unheard, sampled=sampled)

    async def take(self, running: Running, load: Load, calls: int, *, aged: bool = True) -> Step:
        plan = self.plan
        found = await step.take(running, load, calls, settle_s=plan.settle_s, window_s=plan.window_s, aged=aged)
        if aged and found.disturbed and not found.kept_up:
            self.say(f"{calls} calls: the machine was busy with something else; once more")
            await trio.sleep(self.plan.settle_s)
            found = await step.window(running, load, self.plan.window_s)
        return found

    async def search(self, first: int = 25, at_most: int = AT_MOST) -> None:
        """Twice as many calls until it is too much, then halfway between. A server that had too much takes its time to
        come back: what is tried next has a server of its own."""
        until = trio.current_time() + self.plan.search_s
        async with AsyncExitStack() as stack:
            server: tuple[Running, Load] | None = None

            async def carries(calls: int) -> bool:
                nonlocal server
                if server is None:
                    server = await stack.enter_async_context(self.server(self.kind()))
                running, load = server
                good = await self._carries(running, load, calls)
                if not good:
                    await stack.aclose()
                    server = None
                return good

            self.result.carried, self.result.too_many = await capacity.most(
                carries, first=min(first, at_most), at_most=at_most, may_go_on=lambda: trio.current_time() < until
            )

    async def _carries(self, running: Running, load: Load, calls: int) -> bool:
        self.say(f"{calls} calls with full analysis")
        try:
            found = await self.take(running, load, calls)
        except CallmoodError as refusal:
            self.say(f"{calls} calls: {refusal}")
            return False
        self.result.steps.append(found)
        return found.kept_up

    async def ingress_only(self, calls: int = COMPARED) -> Step:
        """Calls that nobody may listen to: what it costs to have their audio come in."""
        self.say(f"{calls} calls that nobody listens to")
        async with self.server(self.kind(unheard=True)) as (running, load):
            return await self.take(running, load, calls, aged=False)

    async def sample(self, calls: int) -> None:
        """Where the time goes."""
        self.say(f"{calls} calls, with a look at what the server is doing")
        async with self.server(self.kind(sampled=True)) as (running, load):
            await load.resize(calls)
            await trio.sleep(self.plan.settle_s)
            os.kill(running.pid, signal.SIGUSR1)
            self.result.sampled = await step.costs(running, load, self.plan.window_s)
            os.kill(running.pid, signal.SIGUSR2)
            self.result.places = await samples(trio.Path(running.folder / SAMPLES))

    async def long_call(self) -> None:
        """Does a call grow, or cost more the longer it lasts?"""
        minutes = self.plan.length_s / 60
        self.say(f"{LONG_CALLS} calls of {minutes:g} minutes, {SPEED} times as fast")
        async with self.server(self.kind(), speed=SPEED) as (running, load):
            await load.resize(LONG_CALLS)
            await trio.sleep(self.plan.warm_s / SPEED)
            each_s = (self.plan.length_s - self.plan.warm_s) / LOOKS
            for look in range(LOOKS):
                found = await step.costs(running, load, each_s / SPEED)
                self.result.length.append(((self.plan.warm_s + (look + 1) * each_s) / 60, found))

    async def with_workers(self, workers: int, calls: int) -> None:
        """One process, and several: with as many calls each, and with the same calls shared among them. In turns, and
        of two runs the cheaper one counts that nothing disturbed, and that left nothing out."""
        found = self.result.workers
        for count, together in 2 * ((1, calls), (workers, workers * calls), (workers, calls)):
            self.say(f"{together} calls, {count} worker{'s' * (count > 1)}")
            kind = Kind(cores=[*self.server_cores, *self.load_cores][:count], workers=count)
            async with self.server(kind) as (running, load):
                one = replace(await self.take(running, load, together), workers=count)
            before = found.get((count, together), one)
            found[count, together] = min(one, before, key=lambda run: (run.shed, run.disturbed, run.cpu_ms))

    async def beside_peers(self, rounds: int = 2, calls: int = COMPARED) -> None:
        """Others and ourselves, taking turns, under the same load."""
        for _ in range(rounds):
            for name, peer in PEERS.items():
                if (missing := peer.missing()) is not None:
                    self.result.peers[name] = missing
                    continue
                many = min(calls, peer.calls)
                self.say(f"{many} calls of {name}")
                await self._compare(name, peer.serving(self.server_cores), many)
            for name, unheard in (("callmood, audio alone", True), ("callmood, everything", False)):
                self.say(f"{calls} calls of {name}")
                await self._compare(name, callmood(self.kind(unheard=unheard)), calls)

    async def _compare(self, name: str, opening: AbstractAsyncContextManager[Running], calls: int) -> None:
        try:
            async with opening as running, calling(running.server) as load:
                empty_kb = measure.memory_kb(measure.family(running.pid))
                found = await self.take(running, load, calls, aged=False)
        except CallmoodError as failure:
            self.result.peers.setdefault(name, str(failure))
            return
        runs = self.result.peers.setdefault(name, [])
        if isinstance(runs, list):
            runs.append((found, empty_kb))


async def samples(path: trio.Path) -> list[tuple[str, str, float]]:
    """What the server writes when it is asked to end its record. Raises CallmoodError."""
    with trio.move_on_after(10):
        while not await path.exists():  # noqa: ASYNC110 - another process: it has no event of ours
            await trio.sleep(0.05)
        return [(str(stage), str(where), float(cpu_s)) for stage, where, cpu_s in json.loads(await path.read_text())]
    raise CallmoodError("the server did not say what it was doing: run bench again")
