"""An engine that says what a script says, and fails when told to."""

from bisect import bisect_right
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import trio

from ..core.audio import Gap, PcmChunk, Window
from ..core.emotion import LABELS, NEUTRAL, Emotion, EmotionReading
from ..errors import EngineRefused, EngineUnavailable
from .faults import Fault, FaultPlan, Faulty

Script = Mapping[int, Emotion] | Callable[[Window], EmotionReading]
"""Media milliseconds to the emotion heard from then on, as in `{0: calm, 4000: Emotion("angry", 0.9)}`; or what reads
the windows itself. A window is judged by its end."""

KEEP_SESSIONS = 1_000


class ScriptedSession:
    """One call's ear. It remembers how much it heard."""

    def __init__(self, engine: "ScriptedEngine", call_sid: str) -> None:
        self._engine = engine
        self.call_sid = call_sid
        self.heard_ms = 0
        """Of sound, gaps not counted."""
        self.missing_ms = 0
        self.reads = 0

    def hear(self, sound: PcmChunk | Gap) -> None:
        if isinstance(sound, Gap):
            self.missing_ms += sound.ms
        else:
            self.heard_ms += sound.end_ms - sound.start_ms

    async def read(self, window: Window) -> EmotionReading:
        self.reads += 1
        await trio.lowlevel.checkpoint()
        await _suffer(self._engine.take("stall", "delay", "unavailable", "refused", "crash"))
        return self._engine.judge(window)


class ScriptedEngine(Faulty):
    """Shared by many calls, as the real ones are. Faults: `stall`, `delay`, `unavailable`, `refused`, `crash`,
    `refuse_open`."""

    def __init__(self, script: Script | None = None, *, name: str = "scripted") -> None:
        self.name = name
        self.script: Script = script if script is not None else {}
        """May be replaced at any time."""
        self.sessions: deque[ScriptedSession] = deque(maxlen=KEEP_SESSIONS)
        """Every session opened, the newest last."""
        self._faults = FaultPlan("stall", "delay", "unavailable", "refused", "crash", "refuse_open")

    @property
    def take(self) -> Callable[..., Fault | None]:
        """The fault that a request suffers, counted."""
        return self._faults.take

    @asynccontextmanager
    async def open(self, call_sid: str) -> AsyncIterator[ScriptedSession]:
        await trio.lowlevel.checkpoint()
        if self._faults.take("refuse_open"):
            raise EngineUnavailable("The scripted engine does not open.")
        session = ScriptedSession(self, call_sid)
        self.sessions.append(session)
        yield session

    def judge(self, window: Window) -> EmotionReading:
        """What the script says about it."""
        return self.script(window) if callable(self.script) else reading(_at(self.script, window.end_ms), window)


def reading(emotion: Emotion, window: Window) -> EmotionReading:
    """A reading as the local engine makes it: scores over all labels, which sum to 1."""
    others = [label for label in LABELS if label != emotion.label]
    scores = {label: (1 - emotion.score) / len(others) for label in others} | {emotion.label: emotion.score}
    return EmotionReading(
        emotion,
        "local",
        window.start_ms,
        window.end_ms,
        window.heard_at,
        scores=scores,
        quality=1.0,
        speech_ms=window.speech_ms,
    )


def _at(script: Mapping[int, Emotion], media_ms: int) -> Emotion:
    """The last entry at or before it; neutral before the first."""
    times = sorted(script)
    place = bisect_right(times, media_ms)
    return script[times[place - 1]] if place else NEUTRAL


async def _suffer(fault: Fault | None) -> None:
    if fault is None:
        return
    match fault.kind:
        case "stall":
            await trio.sleep_forever()
        case "delay":
            await trio.sleep(fault.seconds)
        case "unavailable":
            raise EngineUnavailable("The scripted engine does not answer.")
        case "refused":
            raise EngineRefused("The scripted engine refuses.")
        case _:
            raise RuntimeError("the scripted engine crashes")
