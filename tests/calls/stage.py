"""A directory of calls with scripted neighbours, on a jumping clock: nothing here touches a socket or a disk."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import trio

from agent.audiofile import bundled_voice
from agent.calls.call import Call
from agent.calls.directory import CallDirectory, open_directory
from agent.core.emotion import Emotion, Outcome
from agent.ledger.memory import MemoryLedger
from agent.settings import Settings
from agent.testing import Pace, RecordingAssistant, ScriptedEngine, ScriptedLine

VOICE = bundled_voice()
CALM = Emotion("neutral", 0.95)
ANGRY = Emotion("angry", 0.95)
SETTINGS = Settings(wrap_up_s=1.0, line_quiet_s=10.0)


@dataclass
class Stage:
    """What a test of whole calls needs."""

    directory: CallDirectory
    engine: ScriptedEngine
    assistant: RecordingAssistant
    ledger: MemoryLedger
    lines: dict[str, ScriptedLine] = field(default_factory=dict)

    def ring(self, call_sid: str = "CA1", *, attached: bool = True) -> Call:
        """A call comes in, and its assistant is there."""
        call = self.directory.register(call_sid, caller="+15550100001")
        assert call is not None
        if attached:
            call.attach_assistant("vapi-1")
        return call

    async def talk(self, call: Call, seconds: float = 20.0, *, hold: bool = False, pace: Pace | None = None) -> None:
        """The caller speaks for so long and hangs up; with `hold` the line stays and goes quiet."""
        line = self.lines[call.call_sid] = ScriptedLine(VOICE[: int(8000 * seconds)], pace)
        if await line.play(call.mailbox, hold=hold):
            call.end(Outcome.HANGUP)

    async def gone(self, call: Call) -> None:
        """Wait until everything of it has been freed."""
        while self.directory.find(call.call_sid) is call:  # noqa: ASYNC110 - a clock that jumps polls for nothing
            await trio.sleep(0.01)

    def events(self, call: Call, name: str = "") -> list[dict[str, Any]]:
        """Its timeline so far, or the events of one name."""
        lines = self.ledger.lines_of(call.call_sid)
        events = [msgspec.json.decode(line) for line in lines]
        return [event for event in events if name in ("", event["event"])]

    def names(self, call: Call) -> list[str]:
        return [event["event"] for event in self.events(call)]

    def outcome(self, call: Call) -> str:
        (ended,) = self.events(call, "call.ended")
        return str(ended["outcome"])


@asynccontextmanager
async def open_stage(engine: ScriptedEngine | None = None, **changed: Any) -> AsyncIterator[Stage]:
    """Scripted: calm for eight seconds, then angry."""
    engine = engine or ScriptedEngine({0: CALM, 8000: ANGRY})
    assistant, ledger = RecordingAssistant(), MemoryLedger()
    async with open_directory(engine, assistant, ledger, replace(SETTINGS, **changed)) as directory:
        yield Stage(directory, engine, assistant, ledger)
