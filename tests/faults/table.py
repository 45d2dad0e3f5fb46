"""What breaks, when it breaks, and what becomes of it: one call that suffers, and one beside it that must not notice.

A row plays two calls on a jumping clock. Both ring, talk for `TALK_S` and turn angry on the way, and their assistants
are told; engine and assistant take a moment for everything they do, so that each instant of `WHEN` falls into the
middle of something. At that instant something breaks, for the first call alone.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

import pytest
import trio

from agent.assistants.vapi import VapiControl
from agent.calls.call import Call
from agent.calls.directory import CLOSING, LAST_SAVE_S, open_directory
from agent.core.emotion import Outcome
from agent.errors import LedgerUnavailable
from agent.http import client, httpx
from agent.ledger.memory import MemoryLedger
from agent.testing import Fault, RecordingAssistant, ScriptedEngine, ScriptedLine

from ..calls.stage import ANGRY, CALM, SETTINGS, VOICE, Stage
from ..calls.test_chaos import Split

RING_S = 1.0
"""From the webhook to the first sample."""
TALK_S = 4.0
SCRIPT = {0: CALM, 2000: ANGRY}
READ_S, TELL_S = 0.05, 0.33
NOTE_S = 2.6 + READ_S
"""After the first sample the assistant is told of the anger, where nothing is broken."""
HANG_UP_S = 2.82
"""After the first sample both a reading and the note are on their way."""
ROUNDING_S = 1e-9
WRAP_UP_S, QUIET_S, NEVER_CAME_S = 1.0, 10.0, 60.0

MID_READING_S = RING_S + 1.0 + READ_S / 2
WHEN = {
    "ringing": 0.0,
    "first second": RING_S + 0.5,
    "mid-reading": MID_READING_S,
    "publishing": RING_S + NOTE_S - 0.01,
    "hanging up": RING_S + NOTE_S - 0.01,
    "draining": MID_READING_S,
}
"""Seconds after the webhook at which it breaks; while hanging up, the caller leaves soon after that."""
DRAIN_AT_S = 1.5

STALE_MS = 1000
TOLD = "context.updated"
SAYS = frozenset({TOLD, "context.failed", "analyzer.degraded", "audio.gap"})
"""The events by which a timeline tells what did and what did not work."""
TIMES = ("t", "at", "durationMs", "latencyMs")

Answer = Callable[[], Awaitable[httpx.Response]]
ADDRESS = "https://phone-call-websocket.aws-us-west-2-backend-production1.vapi.ai/1/control"


@dataclass
class Weather:
    """A `Pace` that can change while the line is open."""

    speed: float = 1.0
    loss: float = 0.0
    jitter_ms: float = 0.0
    seed: int = 1


class FaultyLedger(MemoryLedger):
    """Flushing suffers a fault; appending never fails, as the port promises."""

    fault: Fault | None = None
    on_disk: tuple[bytes, ...] = ()
    """What the last flush brought to disk."""

    async def flush(self) -> None:
        appended = tuple(line for kept in self.kept.values() for line in kept.lines)
        match self.fault:
            case Fault("stall"):
                await trio.sleep_forever()
            case Fault("delay", seconds):
                await trio.sleep(seconds)
            case Fault("unavailable"):
                raise LedgerUnavailable("the ledger cannot be written (no space left on device)")
        self.on_disk = appended


class Control:
    """The network between us and the first call's control address."""

    fault: Answer | None = None

    async def answer(self, request: httpx.Request) -> httpx.Response:
        if self.fault is not None:
            return await self.fault()
        await trio.sleep(TELL_S)
        return httpx.Response(200)


@dataclass
class Scene:
    """What the first call has of its own, and what can be broken of it."""

    stage: Stage
    ledger: FaultyLedger
    control: Control
    patch: pytest.MonkeyPatch
    nursery: trio.Nursery
    call: Call
    weather: Weather = field(default_factory=Weather)
    socket: trio.CancelScope = field(default_factory=trio.CancelScope)
    lines: list[ScriptedLine] = field(default_factory=list)
    over_at: float = inf
    """From when on there was no reason for the call to be there."""

    def over(self, in_s: float = 0.0) -> None:
        self.over_at = min(self.over_at, trio.current_time() + in_s)

    async def talk(self, token: str, seconds: float, socket: trio.CancelScope, *, hold: bool = False) -> None:
        """One socket, as the ingress serves it; cancelled, it breaks off."""
        line = ScriptedLine(VOICE[: int(8000 * seconds)], self.weather)  # type: ignore[arg-type]
        self.lines.append(line)
        serial = self.call.redeem(token)
        assert serial is not None
        with socket:
            if await line.play(self.call.mailbox, serial, hold=hold):
                self.over()
                self.call.stream_ended()
        if socket.cancelled_caught:
            self.over()
            self.call.line_ended(line)


@dataclass(frozen=True)
class What:
    """One thing that breaks, and what is promised about it."""

    name: str
    breaks: Callable[[Scene], object]
    outcome: str = "hangup"
    says: str = ""
    """The event by which the timeline tells of it."""
    silent: tuple[str, ...] = ()
    """When it breaks at these times, there is nothing to tell of."""
    tells: tuple[str, ...] = tuple(WHEN)
    """When it breaks at these times, the assistant is told of the anger all the same."""
    when: tuple[str, ...] = tuple(WHEN)
    hold: bool = False
    """The line stays open when everything has been said."""
    comes: bool = True
    """The stream that the webhook asked for is opened."""
    over_http: bool = False
    """The assistant is told over a real control address, on a scripted network."""

    def __str__(self) -> str:
        return self.name

    def says_at(self, when: str) -> set[str]:
        told = {TOLD} if when in self.tells else set()
        return told | ({self.says} - {""} if when not in self.silent else set())


@dataclass(frozen=True)
class Played:
    """What became of a row."""

    scene: Scene
    beside: Call
    freed_after: float
    """Seconds from when there was no more reason for the call to be there."""
    tasks_left: int

    @property
    def neighbour(self) -> list[dict[str, Any]]:
        """The timeline of the call beside it, without its times."""
        events = self.scene.stage.events(self.beside)
        return [{name: value for name, value in event.items() if name not in TIMES} for event in events]


async def play(what: What, when: str, patch: pytest.MonkeyPatch, **changed: float) -> Played:
    """Two calls, one of which suffers."""
    stage_engine, engine = slow(ScriptedEngine(SCRIPT), READ_S), slow(ScriptedEngine(SCRIPT), READ_S)
    recording, assistant = slow(RecordingAssistant(), TELL_S), slow(RecordingAssistant(), TELL_S)
    ledger, control, settings = FaultyLedger(), Control(), replace(SETTINGS, **{"checkpoint_s": 0.1, **changed})
    with trio.fail_after(300):
        async with client(transport=httpx.MockTransport(control.answer)) as http:
            vapi = VapiControl(http)
            vapi.attach("CA1", ADDRESS)
            assistants: Any = Split(vapi if what.over_http else recording, assistant)  # type: ignore[arg-type]
            engines: Any = Split(stage_engine, engine)
            async with open_directory(engines, assistants, ledger, settings) as directory:
                stage = Stage(directory, stage_engine, recording, ledger)
                tasks = living()
                async with trio.open_nursery() as nursery:
                    scene = Scene(stage, ledger, control, patch, nursery, stage.ring("CA1"))
                    beside = stage.ring("CA2")
                    nursery.start_soon(suffer, scene, what, when)
                    nursery.start_soon(come, scene, what, HANG_UP_S if when == "hanging up" else TALK_S)
                    nursery.start_soon(come_beside, stage, beside)
                    await stage.gone(scene.call)
                    freed_after = trio.current_time() - scene.over_at
                    await stage.gone(beside)
                await trio.sleep(LAST_SAVE_S + 0.1)
                return Played(scene, beside, freed_after, living() - tasks)
    raise AssertionError("unreachable")


def slow(fake: Any, seconds: float) -> Any:
    fake.fault = Fault("delay", seconds)
    return fake


def living() -> int:
    return trio.lowlevel.current_statistics().tasks_living


async def suffer(scene: Scene, what: What, when: str) -> None:
    began = trio.current_time()
    if when == "draining":
        await trio.sleep(DRAIN_AT_S)
        scene.nursery.start_soon(scene.stage.directory.drain)
    await trio.sleep_until(began + WHEN[when])
    what.breaks(scene)


async def come(scene: Scene, what: What, seconds: float) -> None:
    token = scene.call.issue_token()
    if not what.comes:
        scene.over(NEVER_CAME_S)
        return
    await trio.sleep(RING_S)
    await scene.talk(token, seconds, scene.socket, hold=what.hold)


async def come_beside(stage: Stage, call: Call) -> None:
    await trio.sleep(RING_S)
    await stage.talk(call, TALK_S)


def check(played: Played, what: What, when: str, undisturbed: list[dict[str, Any]]) -> None:
    """Everything that is promised whatever breaks, and what is promised of this."""
    scene, stage, call = played.scene, played.scene.stage, played.scene.call
    assert stage.outcome(call) == what.outcome
    assert 0 <= played.freed_after <= WRAP_UP_S + 1
    assert set(stage.names(call)) & SAYS == what.says_at(when)
    assert played.tasks_left == 0
    assert all(event["latencyMs"] < STALE_MS for event in stage.events(call, TOLD))
    for line in (*scene.lines, stage.lines["CA2"]):
        assert line.max_lag_s < ROUNDING_S
    assert call.mailbox.dropped == played.beside.mailbox.dropped == 0
    if scene.lines:
        left_by_itself, closed = None, CLOSING.get(Outcome(what.outcome), (1000, what.outcome))
        assert scene.lines[-1].hung_up in (left_by_itself, closed)
    assert played.neighbour == undisturbed


async def leave_at_once() -> tuple[bytes, ...]:
    """A call ends, and everything is torn down at the same moment, over a slow disk: what has been kept of it."""
    ledger, engine, assistant = FaultyLedger(), ScriptedEngine(SCRIPT), RecordingAssistant()
    ledger.fault = Fault("delay", 0.3)
    async with open_directory(engine, assistant, ledger, SETTINGS) as directory:
        stage = Stage(directory, engine, assistant, ledger)
        call = stage.ring()
        await stage.talk(call, 1.0)
        await stage.gone(call)
    return ledger.on_disk


def check_kept(lines: tuple[bytes, ...]) -> None:
    assert any(b'"call.ended"' in line for line in lines)
