"""A call and its neighbour while Hume fails: the real engine and a fake Hume, over a network in memory, so that the
clock may jump. In `hybrid` our own engine is scripted, and in doubt from the first second on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, Literal

import pytest
import trio
from trio.testing import memory_stream_pair

from agent.calls.call import Call
from agent.calls.directory import open_directory
from agent.core.emotion import Emotion, Outcome
from agent.dialling import DialFailed
from agent.engines.expressions import load
from agent.engines.hume import Hume
from agent.engines.streamed import StreamedEngine
from agent.engines.streamed.allowance import Allowance
from agent.ledger.memory import MemoryLedger
from agent.testing import RecordingAssistant, ScriptedEngine, ScriptedLine
from agent.testing.fake_hume import FakeHume

from ..calls.stage import CALM, SETTINGS, VOICE, Stage

Engine = Literal["hume", "hybrid"]
DOUBT = Emotion("angry", 0.6)
BREAKS_AT_S, RETURNS_AT_S = 6.0, 20.0
TALK_S = 60.0


def angry(start_ms: int, end_ms: int) -> list[tuple[str, float]]:
    return [("anger", 0.8), ("something new", 0.9)]


class Piped(trio.abc.Stream):
    """One end of a connection that has no socket."""

    def __init__(self, pipe: trio.abc.Stream) -> None:
        self._pipe = pipe

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._pipe.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._pipe.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return bytes(await self._pipe.receive_some(max_bytes))

    async def aclose(self) -> None:
        await self._pipe.aclose()

    def setsockopt(self, *_: object) -> None:
        """It would reset instead of closing, which here is the same."""


class Network:
    """What lies between the engine and its Hume."""

    def __init__(self, hume: FakeHume, nursery: trio.Nursery) -> None:
        self._hume, self._nursery = hume, nursery
        self._lines: set[trio.CancelScope] = set()
        self.reachable = True
        self.dialled = 0

    async def connect(self, *_: object) -> trio.abc.Stream:
        self.dialled += 1
        await trio.lowlevel.checkpoint()
        if not self.reachable:
            raise DialFailed("it cannot be reached (ConnectionRefusedError)")
        ours, theirs = memory_stream_pair()
        self._nursery.start_soon(self._serve, Piped(theirs))
        return ours

    async def _serve(self, stream: trio.abc.Stream) -> None:
        with trio.CancelScope() as line:
            self._lines.add(line)
            try:
                await self._hume._server._serve(stream)  # type: ignore[arg-type]
            finally:
                self._lines.discard(line)

    def cut(self) -> None:
        """Every connection is lost."""
        for line in self._lines:
            line.cancel()


@dataclass
class Scene:
    """Two calls and their Hume."""

    hume: FakeHume
    network: Network
    engine: StreamedEngine
    stage: Stage
    calls: list[Call] = field(default_factory=list)

    def said(self, call: Call, event: str) -> list[float]:
        """When an event of Hume's came, in seconds from the first sample."""
        return [seen["t"] / 1000 for seen in self.stage.events(call, event) if seen.get("engine", "hume") == "hume"]

    def local(self, call: Call) -> list[int]:
        """The windows that our own engine has judged."""
        return [seen["endMs"] for seen in self.stage.events(call, "audio.chunk") if seen["source"] == "local"]

    def hume_said(self, call: Call) -> list[float]:
        return [seen["t"] / 1000 for seen in self.stage.events(call, "audio.chunk") if seen["source"] == "hume"]


@asynccontextmanager
async def scene(
    engine: Engine, patch: pytest.MonkeyPatch, *, seconds: float = 1000.0, sessions: int = 20, **changed: Any
) -> AsyncIterator[Scene]:
    settings = replace(SETTINGS, engine=engine, **changed)
    hume = FakeHume(angry)
    vendor = Hume(base_url="ws://hume", api_key=hume.key, expressions=load(), heartbeat_s=settings.heartbeat_s)
    streamed = StreamedEngine(vendor, Allowance("Hume", seconds_per_call=seconds, sessions=sessions))
    own = ScriptedEngine({0: CALM, 1000: DOUBT})
    assistant, ledger = RecordingAssistant(), MemoryLedger()
    first, second = (streamed, None) if engine == "hume" else (own, streamed)
    async with trio.open_nursery() as nursery:
        network = Network(hume, nursery)
        patch.setattr("agent.dialling._connect", network.connect)
        async with open_directory(first, assistant, ledger, settings, None, second) as directory:
            yield Scene(hume, network, streamed, Stage(directory, own, assistant, ledger))
        nursery.cancel_scope.cancel()


async def two_calls(scene: Scene, seconds: float = TALK_S) -> None:
    """Both talk and hang up. Returns when nothing of them is left."""
    voice = (VOICE * (1 + int(8000 * seconds) // len(VOICE)))[: int(8000 * seconds)]
    async with trio.open_nursery() as nursery:
        for number in range(len(scene.calls) + 1, len(scene.calls) + 3):
            call_sid = f"CA{number}"
            scene.calls.append(call := scene.stage.ring(call_sid))
            nursery.start_soon(talk, scene, call, voice)
    for call in scene.calls:
        await scene.stage.gone(call)
    await trio.sleep(2)


async def talk(scene: Scene, call: Call, voice: bytes) -> None:
    line = scene.stage.lines[call.call_sid] = ScriptedLine(voice)
    if await line.play(call.mailbox):
        call.end(Outcome.HANGUP)


@dataclass(frozen=True)
class Failing:
    """One way in which Hume fails, and what is promised of it."""

    name: str
    fault: str = ""
    """As the fake knows it."""
    from_start: bool = False
    """It fails before the call, and not six seconds into it."""
    gone: bool = False
    """Its address does not answer at all."""
    cut: bool = False
    """The connections there are break as well."""
    degraded_within_s: float = inf
    """Of its failing; inf: there is nothing to say."""
    recovers: bool = True
    """Within the call, after it has returned."""
    recovered_within_s: float = 36.0
    """A probe every half a minute, a connection, and three seconds of speech."""

    def __str__(self) -> str:
        return self.name

    @property
    def breaks_at_s(self) -> float:
        return 0.0 if self.from_start else BREAKS_AT_S

    async def happens(self, scene: Scene) -> None:
        await trio.sleep(self.breaks_at_s)
        scene.hume.fault = self.fault or None  # type: ignore[assignment]
        scene.network.reachable = not self.gone
        if self.cut or self.gone:
            scene.network.cut()
        await trio.sleep(RETURNS_AT_S - self.breaks_at_s)
        scene.hume.fault, scene.network.reachable = None, True


FAILURES = [
    Failing("works"),
    Failing("stalls before it has opened", "stall", from_start=True, degraded_within_s=7),
    Failing("stalls while it listens", "stall", degraded_within_s=12),
    Failing("measures nothing", "mute", degraded_within_s=12),
    Failing("refuses (503)", "refuse", cut=True, degraded_within_s=2),
    Failing("refuses for too many requests (429)", "throttle", cut=True, degraded_within_s=2),
    Failing("does not know the key (401)", "unauthorized", from_start=True, degraded_within_s=2.5, recovers=False),
    Failing("drops connections", "drop", degraded_within_s=2),
    Failing("restarts", "restart", degraded_within_s=2),
    Failing("flaps", "flap", degraded_within_s=2),
    Failing("has an internal error", "internal_error", degraded_within_s=2),
    Failing("takes two frames of three", "rate_limit", degraded_within_s=14),
    Failing("talks nonsense", "nonsense", from_start=True),
    Failing("is gone", gone=True, degraded_within_s=2),
]
