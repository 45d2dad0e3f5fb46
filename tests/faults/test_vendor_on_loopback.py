"""Hume fails over real sockets, in a real service: two calls talk beside it, and end as if nothing were.

Nearly all of it is talk in real time, so the faults of one engine happen side by side, each to a service of its own.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from agent.core.emotion import Emotion
from agent.settings import Secret
from agent.testing import CallResult, Pace, ScriptedEngine
from agent.testing.fake_hume import FakeHume

from ..calls.stage import VOICE
from ..web.conftest import Callmood, services

TALK_S = 4.0
AT_ONCE = 3
"""Faults. All of them would take the loop for longer than calls have patience, where the machine is busy."""
LONGEST_S = 60
"""For all of them: a busy machine takes a while to start so many services."""
FAULTS = ("stall", "refuse", "throttle", "unauthorized", "flap", "internal_error", "rate_limit", "nonsense", "gone")
QUICK = ("refuse", "throttle", "unauthorized", "flap", "internal_error", "gone")
"""What is noticed within a call as short as these; the others take their patience: at most in calls
that a slow machine has drawn out."""


@dataclass(frozen=True)
class Seen:
    """What became of two calls while Hume failed in one way."""

    results: list[CallResult]
    entries: list[dict[str, Any]]
    """Of the same calls, with their timelines."""
    left: int
    """Calls that the service still knows afterwards."""


Happened = Mapping[str, Seen | Exception]


@pytest.fixture(scope="module", params=["hume", "hybrid"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def happened(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Happened:
    """What came of every fault, an error included: each test has its own."""
    with pytest.MonkeyPatch.context() as patch, capture_logs():
        if engine == "hybrid":
            script = {0: Emotion("neutral", 0.9), 400: Emotion("angry", 0.6)}
            patch.setattr("agent.wiring.engine", lambda settings: ScriptedEngine(script))
        return trio.run(all_at_once, engine, tmp_path_factory.mktemp(engine))


async def all_at_once(engine: str, folder: Path) -> Happened:
    found: dict[str, Seen | Exception] = {}
    there: set[str] = set()
    all_there = trio.Event()

    def note(fault: str) -> None:
        there.add(fault)
        if len(there) == len(FAULTS):
            all_there.set()

    async def ready(fault: str) -> None:
        """Nobody talks while others still start: that takes the loop for so long that calls would notice."""
        note(fault)
        await all_there.wait()

    turns = trio.CapacityLimiter(AT_ONCE)

    async def one(fault: str) -> None:
        try:
            found[fault] = await two_calls_while(fault, engine, folder / fault, partial(ready, fault), turns)
        except Exception as error:
            found[fault] = error
            note(fault)

    async with trio.open_nursery() as nursery:
        for fault in FAULTS:
            nursery.start_soon(one, fault)
    return found


async def two_calls_while(
    fault: str, engine: str, folder: Path, ready: Callable[[], Awaitable[None]], turns: trio.CapacityLimiter
) -> Seen:
    results: list[CallResult] = []
    async with FakeHume.serve() as hume, AsyncExitStack() as stack, trio.open_nursery() as running:
        hume.fault = fault if fault != "gone" else None  # type: ignore[assignment]
        url = nobody(stack) if fault == "gone" else hume.url
        async with services(running, folder, LONGEST_S) as start:
            callmood = await start(engine=engine, hume_base_url=url, hume_api_key=Secret(hume.key))
            await ready()
            async with turns, trio.open_nursery() as nursery:
                for _ in range(2):
                    nursery.start_soon(talk, callmood, results)
            entries = [await callmood.ended(result.call_sid) for result in results]
            left = len(callmood.ready.directory)
            running.cancel_scope.cancel()
    return Seen(results, entries, left)


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_hume_does_two_calls_end_as_they_should(fault: str, engine: str, happened: Happened) -> None:
    seen = happened[fault]
    if isinstance(seen, Exception):
        raise seen
    assert len(seen.results) == 2
    for entry, result in zip(seen.entries, seen.results, strict=True):
        names = [event["event"] for event in entry["timeline"]]
        assert result.ok
        assert entry["outcome"] == "hangup"
        assert "audio.gap" not in names
        degraded = [event["t"] for event in entry["timeline"] if event["event"] == "analyzer.degraded"]
        if fault in QUICK:
            assert len(degraded) == 1
        else:
            assert min(degraded, default=inf) > 1000 * TALK_S
        if engine == "hybrid":
            assert len([e for e in chunks(entry) if e["source"] == "local"]) >= 3 * TALK_S
    assert seen.left == 0


def nobody(stack: AsyncExitStack) -> str:
    """An address where nobody listens, kept so until the end of the block."""
    bound = stack.enter_context(socket.socket())
    bound.bind(("127.0.0.1", 0))
    return f"ws://127.0.0.1:{bound.getsockname()[1]}"


async def talk(callmood: Callmood, results: list[CallResult]) -> None:
    results.append(await callmood.caller().call(VOICE[: int(8000 * TALK_S)], Pace()))


def chunks(entry: dict[str, Any]) -> list[dict[str, Any]]:
    return [event for event in entry["timeline"] if event["event"] == "audio.chunk"]
