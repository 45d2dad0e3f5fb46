"""Attacks a server of its own, and says what came of it.

    python scripts/attack.py             every attack, about seven minutes
    python scripts/attack.py --quick     a selection, under 90 seconds
    python scripts/attack.py pings …     those whose name holds one of these words
    python scripts/attack.py --part 1/2  every second one; the others are --part 2/2, at the same time if need be

Each attack runs beside an ordinary call, which must be answered, heard and told, and is followed by another one. One
line each: `ok` or `FAIL`, its name, what was observed, and what it cost the server in memory at its worst and
afterwards. At the end everything the server wrote is searched for secrets. Exit code 1 where something is wrong.
"""

import argparse
import json
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import trio
from attacks import ATTACKS, Attack
from attacks.aftermath import searched
from attacks.front_door import GATHERED_A_SECOND
from attacks.table import CLIENT_MAY_COST, MB, Breach
from attacks.target import Target, alone
from attacks.warm_up import warm_up

Result = TypeVar("Result")

LONGEST_S = 90.0
"""For one attack and the calls around it."""
SAMPLE_S = 0.02
SETTLE_S = 0.1
NEIGHBOUR_AFTER_S = 0.15
A_CALL_COSTS = 500_000
"""Bytes granted to the neighbour's call: what one takes in a server that is left alone."""


@dataclass(frozen=True, slots=True)
class Report:
    """One line."""

    name: str
    ok: bool
    observed: str
    peak_mb: float | None = None
    """Memory at its worst, above what it was before."""
    left_mb: float | None = None
    seconds: float = 0.0

    def __str__(self) -> str:
        memory = "" if self.peak_mb is None else f"  [{self.peak_mb:+.2f} MB, left {self.left_mb:+.2f}]"
        return f"{'ok  ' if self.ok else 'FAIL'} {self.name:34} {self.observed}{memory}  {self.seconds:.1f} s"


class Memory:
    """What the server has in memory, from now on."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._before = self._peak = target.server.memory

    async def watch(self) -> None:
        while True:
            self._peak = max(self._peak, self._target.server.memory)
            await trio.sleep(SAMPLE_S)

    @property
    def cost(self) -> int:
        """Bytes at the worst, above what it was before."""
        return self._peak - self._before

    @property
    def left(self) -> int:
        return self._target.server.memory - self._before


async def observe(target: Target, attack: Attack) -> Report:
    """Run one attack beside a call, and a call behind it."""
    began = trio.current_time()
    logged = target.server.log.stat().st_size
    wrong, observed, told, died = list[str](), "was cut off", None, False
    memory = Memory(target)

    async def neighbour() -> None:
        nonlocal told
        await trio.sleep(NEIGHBOUR_AFTER_S + attack.clients / GATHERED_A_SECOND)
        told = await blamed("beside it", target.real_call, wrong)

    async def run() -> None:
        nonlocal observed
        observed = await blamed("", partial(attack.run, target), wrong) or "no result"

    with trio.move_on_after(LONGEST_S) as patience:
        async with trio.open_nursery() as watching:
            watching.start_soon(memory.watch)
            async with trio.open_nursery() as both:
                both.start_soon(run)
                both.start_soon(neighbour)
            watching.cancel_scope.cancel()
        await trio.sleep(SETTLE_S)
        if not (died := await target.has_died()):
            await blamed("after it", partial(target.real_call, 1.5), wrong)
    if patience.cancelled_caught:
        wrong.append(f"not over after {LONGEST_S:g} s")
    if died:
        code = target.server.process.returncode
        end = f"THE SERVER DIED with exit code {code}" if code >= 0 else "THE SERVER ANSWERS NO MORE"
        return Report(attack.name, False, "; ".join([end, *wrong[:1]]), seconds=trio.current_time() - began)
    wrong += [f"it logged a fault of its own: {line}" for line in target.faults(logged)[:2]]
    if memory.cost - A_CALL_COSTS > attack.clients * CLIENT_MAY_COST:
        wrong.append(f"{attack.clients} hostile client(s) cost {memory.cost / MB:.1f} MB")
    beside = f", assistant beside it told in {1000 * told:.0f} ms" if told is not None else ""
    figures = memory.cost / MB, memory.left / MB, trio.current_time() - began
    return Report(attack.name, not wrong, ("; ".join(wrong) or observed) + beside, *figures)


async def blamed(when: str, work: Callable[[], Awaitable[Result]], wrong: list[str]) -> Result | None:
    """The result of this work; what went wrong is noted instead."""
    try:
        return await work()
    except BaseException as error:
        cause = alone(error)
        if isinstance(cause, trio.Cancelled | KeyboardInterrupt):
            raise
        text = str(cause) if isinstance(cause, Breach) else f"{type(cause).__name__}: {cause}"
        wrong.append(f"{when}, {text}" if when else text)
        return None


async def attacked(attacks: list[Attack], *, quick: bool, as_json: bool) -> bool:
    """Whether everything held."""
    held, began = True, trio.current_time()

    def say(report: Report) -> None:
        nonlocal held
        held &= report.ok
        print(json.dumps(asdict(report)) if as_json else report, flush=True)

    seconds, speed = (0.7, 8.0) if quick else (4.0, 1.0)
    with tempfile.TemporaryDirectory(prefix="callmood-attack-") as folder:
        async with Target.start(Path(folder), seconds=seconds, speed=speed) as target:
            await warm_up(target)
            for attack in attacks:
                say(await observe(target, attack))
                if target.is_dead:
                    await target.restart()
                    await warm_up(target)
            for name, ok, observed in await searched(target):
                say(Report(name, ok, observed))
    if not as_json:
        print(f"{'everything held' if held else 'something gave way'}, {trio.current_time() - began:.0f} s")
    return held


def part(text: str) -> slice:
    """Which attacks `K/N` means. Raises ValueError."""
    first, _, every = text.partition("/")
    if not 1 <= int(first) <= int(every):
        raise ValueError(text)
    return slice(int(first) - 1, None, int(every))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a selection, under 90 seconds")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--list", action="store_true", help="what there is, and attack nothing")
    parser.add_argument("--part", type=part, default=slice(None), metavar="K/N", help="every N-th, from the K-th on")
    parser.add_argument("names", nargs="*", help="only attacks whose name holds one of these words")
    options = parser.parse_args()
    # What was freed after a crowd would hide what a single client takes: so the crowds come last.
    chosen = [attack for attack in sorted(ATTACKS, key=lambda one: one.clients) if attack.quick or not options.quick]
    if options.names:
        chosen = [attack for attack in chosen if any(word in attack.name for word in options.names)]
    chosen = chosen[options.part]
    if options.list:
        print("\n".join(f"{attack.name:34} {attack.about}" for attack in chosen))
        return
    if not chosen:
        parser.error("no attack has such a name: --list shows them")
    if not Path("/proc/self/statm").exists():
        parser.error("the server's memory is read from /proc, which this system has not")
    held = trio.run(partial(attacked, chosen, quick=options.quick, as_json=options.json))
    raise SystemExit(0 if held else 1)


if __name__ == "__main__":
    main()
