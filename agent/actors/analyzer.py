"""windows -> readings. Owns the patience with an engine, which may be slow, wrong or gone: the call must not notice.

The engine's session is fed directly by the decoder, through the `Ear`, because an engine wants every sound in order
while windows are thrown away when they grow old. The ear belongs to the decoder and outlives any session: what an
engine raises while hearing is kept for the analyzer, and never reaches the decoder.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from math import inf
from typing import Protocol

import structlog
import trio

from ..core.audio import Gap, PcmChunk, Window
from ..core.emotion import FAILED, EmotionReading
from ..errors import EngineRefused, EngineUnavailable
from ..groups import alone, ungrouped
from ..ports import Engine, EngineSession, Forgetful, Prompt, Timeline
from .channels import Inbox, Outbox
from .incoming import Heard, Incoming
from .supervision import Condition, RestartPolicy, keep_running

log = structlog.get_logger()


class UnderWay(Protocol):
    """Who wants to know whether a reading is being made."""

    def reading_begins(self) -> None:
        """A window is being judged."""

    def reading_ends(self, _: object = None) -> None:
        """Its reading has been folded in; or there will be none."""


class Ear:
    """What the decoder speaks into: the engine's session of the moment, if there is one."""

    def __init__(self) -> None:
        self._session: EngineSession | None = None
        self._fault: Exception | None = None

    def hear(self, sound: PcmChunk | Gap) -> None:
        if self._session is None:
            return
        try:
            self._session.hear(sound)
        except Exception as fault:  # an engine is a plug-in: whatever it raises is its outage, not our bug
            self._session, self._fault = None, fault

    def forget(self) -> None:
        """Nobody listens any more: what the session holds of the caller is overwritten, and it hears nothing more."""
        session, self._session = self._session, None
        if isinstance(session, Forgetful):
            session.forget()

    @contextmanager
    def lent_to(self, session: EngineSession) -> Iterator[None]:
        self._session, self._fault = session, None
        try:
            yield
        finally:
            self._session = None

    def check(self) -> None:
        """Raise what the session raised while hearing."""
        if self._fault is not None:
            raise self._fault


class Ears(Ear):
    """The same for two engines: what the first hears, the second hears as well."""

    def __init__(self, second: Ear) -> None:
        super().__init__()
        self._second = second

    def hear(self, sound: PcmChunk | Gap) -> None:
        super().hear(sound)
        self._second.hear(sound)

    def forget(self) -> None:
        super().forget()
        self._second.forget()


def as_engine_error(fault: Exception) -> EngineUnavailable | EngineRefused:
    """What an engine's exception means to us. Its text is not repeated: it may hold what a caller said."""
    known = alone(fault)
    if isinstance(known, EngineUnavailable | EngineRefused):
        return known
    log.error("engine.failed", exc_info=fault)
    return EngineUnavailable(f"it failed with {type(fault).__name__}")


class Analyzer:
    """One call's analysis: asks the engine about each window, and says when it is degraded and when recovered."""

    def __init__(
        self,
        engine: Engine,
        call_sid: str,
        ear: Ear,
        timeline: Timeline,
        *,
        patience_s: float,
        policy: RestartPolicy | None = None,
        under_way: UnderWay | None = None,
        says_failures: bool = True,
        tempered: Callable[[EmotionReading], EmotionReading] = lambda reading: reading,
    ) -> None:
        """`says_failures`: a window that could not be read is a reading too, one that says so. `tempered`: what is
        left of a reading by all that is known of the line."""
        self._engine, self._call_sid, self._ear, self._timeline = engine, call_sid, ear, timeline
        self._patience_s, self._policy = patience_s, policy
        self._says_failures, self._tempered = says_failures, tempered
        self.condition = Condition()
        self._begins = under_way.reading_begins if under_way else lambda: None
        self._ends = under_way.reading_ends if under_way else None

    async def run(self, windows: Inbox[Window], readings: Outbox[Incoming]) -> None:
        """Analyse until the windows end, through every outage of the engine."""
        with readings:
            await keep_running(
                partial(self._attempt, windows, readings),
                partial(self._without_engine, windows, readings),
                outages=(EngineUnavailable,),
                final=(EngineRefused,),
                note=self._note,
                policy=self._policy,
                condition=self.condition,
            )

    async def _attempt(self, windows: Inbox[Window], readings: Outbox[Incoming]) -> None:
        """One session of the engine's, from opening to closing, each within its patience."""
        heard_all, opened = False, False
        bug: Exception | None = None
        with trio.CancelScope(deadline=trio.current_time() + self._patience_s) as slow:
            try:
                with ungrouped():
                    async with self._engine.open(self._call_sid) as session:
                        slow.deadline, opened = inf, True
                        try:
                            await self._read_all(session, windows, readings)
                            heard_all = True
                        except (EngineUnavailable, EngineRefused):
                            raise
                        except Exception as ours:
                            bug = ours  # kept until the engine has closed: what it raises then must not hide it
                        finally:
                            slow.deadline = trio.current_time() + self._patience_s
            except Exception as fault:
                if not heard_all and bug is None:
                    raise as_engine_error(fault) from fault
                log.warning("engine.closed_badly", exc_info=fault)
        if bug is not None:
            raise bug
        if not heard_all:
            raise EngineUnavailable(f"it did not {'close' if opened else 'open'} in time")

    async def _read_all(self, session: EngineSession, windows: Inbox[Window], readings: Outbox[Incoming]) -> None:
        prompt = session if isinstance(session, Prompt) else None
        with self._ear.lent_to(session):
            async for window in windows:
                self._begins()
                try:
                    reading = await self._read(session, prompt, window)
                except (EngineUnavailable, EngineRefused):
                    await self._tell(self._failed(window), readings)
                    raise
                await self._tell(reading, readings)

    async def _tell(self, reading: EmotionReading | None, readings: Outbox[Incoming]) -> None:
        if reading is not None:
            await readings.send(Heard(reading, self._ends))
        elif self._ends is not None:
            self._ends()

    async def _read(self, session: EngineSession, prompt: Prompt | None, window: Window) -> EmotionReading | None:
        slow = False
        try:
            self._ear.check()
            reading = None if prompt is None else prompt.read_at_once(window)
            if reading is None:  # patience is needed where there is something to wait for
                with trio.move_on_after(self._patience_s) as patience, ungrouped():
                    reading = await session.read(window)
                slow = patience.cancelled_caught
        except Exception as fault:
            raise as_engine_error(fault) from fault
        if slow:
            self._degrade("slow", "slow")
            return self._failed(window)
        if reading is None:
            return None
        if self.condition.degraded:
            self.condition.degraded = False
            self._timeline.record("analyzer.recovered", engine=self._engine.name, reason="it answers again")
        return self._tempered(reading)

    async def _without_engine(self, windows: Inbox[Window], readings: Outbox[Incoming]) -> None:
        async for window in windows:
            await self._tell(self._failed(window), readings)

    def _failed(self, window: Window) -> EmotionReading | None:
        return failed(window) if self._says_failures else None

    def _note(self, outage: Exception) -> None:
        how = "refused" if isinstance(outage, EngineRefused) else "unavailable"
        self._degrade(how, f"{how}: {outage}")

    def _degrade(self, how: str, reason: str) -> None:
        self.condition.failures[how] += 1
        if not self.condition.degraded:
            self.condition.degraded = True
            self._timeline.record("analyzer.degraded", engine=self._engine.name, reason=reason)


def failed(window: Window) -> EmotionReading:
    """The reading an engine failed to make: said as such, and never passing the gate."""
    return EmotionReading(
        FAILED, "fallback", window.start_ms, window.end_ms, window.heard_at, speech_ms=window.speech_ms
    )
