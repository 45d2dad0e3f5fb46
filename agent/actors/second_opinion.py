"""Asking another engine where ours is in doubt, beside the call and never in its way.

While our own belief in anger is neither low nor high, the other engine's session is open and hears what the caller
says; a few seconds after the last doubt it is closed again, because what it hears is billed. It is supervised like our
own engine, says as little about its failures (`analyzer.degraded`, `.recovered`), and its readings go the same way.
"""

from collections.abc import Callable
from math import inf

import trio

from ..core.audio import Window
from ..core.emotion import EmotionReading
from ..core.opinion import Band, Opinions, anger_in
from ..core.rules import Decision
from ..ports import Engine, Timeline
from .analyzer import Analyzer, Ear
from .channels import Outbox, WhenFull, open_channel
from .incoming import Incoming
from .supervision import RestartPolicy

LINGER_S = 4.0
"""How long it stays open after the last doubt: an answer takes three seconds of speech."""
RECENT_S = 4.0
"""An answer no older than this need not be waited for again."""


class SecondOpinion:
    """One call's. `consider` hears every reading of our own engine; `run` does the asking."""

    def __init__(
        self,
        engine: Engine,
        call_sid: str,
        timeline: Timeline,
        band: Band,
        *,
        patience_s: float,
        policy: RestartPolicy | None = None,
        tempered: Callable[[EmotionReading], EmotionReading] = lambda reading: reading,
    ) -> None:
        self.ear = Ear()
        """What the decoder speaks into, beside our own engine's."""
        self._band, self._opinions, self._name = band, Opinions(), engine.name
        self._analyzer = Analyzer(
            engine,
            call_sid,
            self.ear,
            timeline,
            patience_s=patience_s,
            policy=policy,
            says_failures=False,
            tempered=tempered,
        )
        self.condition = self._analyzer.condition
        self._wanted = trio.Event()
        self._wanted_until = 0.0
        self._windows: Outbox[Window] | None = None
        self._answered, self._answered_at = trio.Event(), -inf
        self._anger = 0.0
        self._asking = trio.CancelScope()

    def consider(self, reading: EmotionReading, now: float) -> EmotionReading:
        """A reading on its way to the aggregator: our own comes back as the second opinion leaves it."""
        if reading.source == self._name:
            self._opinions.take(reading, now)
            self._anger = anger_in(reading)
            self._answered.set()
            self._answered, self._answered_at = trio.Event(), now
            return reading
        if reading.source != "local":
            return reading
        if self._band.holds(reading):
            self._wanted_until = now + LINGER_S
            self._wanted.set()
        if self._windows is not None:
            speech_ms = reading.speech_ms if reading.speech_ms is not None else reading.end_ms - reading.start_ms
            self._windows.offer(Window(reading.start_ms, reading.end_ms, speech_ms, 0, reading.heard_at))
        return self._opinions.moved(reading, now)

    async def run(self, readings: Outbox[Incoming]) -> None:
        """Ask whenever that is wanted, until closed."""
        with readings, self._asking:
            while True:
                await self._wanted.wait()
                await self._ask(readings)
                self._wanted = trio.Event()

    def close(self) -> None:
        """The call is over: nobody is asked any more."""
        self._asking.cancel()

    async def _ask(self, readings: Outbox[Incoming]) -> None:
        """One session, for as long as there is doubt."""
        self._windows, windows = open_channel(Window, 2, WhenFull.DROP_OLDEST)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._analyzer.run, windows, readings.clone())
            with self._windows:
                try:
                    while (left_s := self._wanted_until - trio.current_time()) > 0:  # noqa: ASYNC110 - every doubt moves it
                        await trio.sleep(left_s)
                finally:
                    self._windows = None  # before it closes: that takes a moment, and our own readings go on

    async def confirm(self, decision: Decision) -> bool:
        """Whether the second engine hears anger, too. Waits for it while it is being asked; where it is not, our own
        belief stands. How long is the caller's patience."""
        if trio.current_time() - self._answered_at > RECENT_S:
            if self._windows is None:
                return True
            await self._answered.wait()
        return self._anger >= self._band.low
