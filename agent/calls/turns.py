"""The assistant's turns of speech: whether one is being heard, since when, and what was said in it."""

import trio

from .timeline import Record
from .words import Words

TURNS_KEPT = 16
"""For what was said at once."""


class Turns:
    """One call's. Plain state, changed from one thread; each beginning and end is recorded once."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._since: float | None = None
        self._past: list[tuple[float, float]] = []
        self.words = Words()

    @property
    def speaking(self) -> bool:
        return self._since is not None

    def turn(self, *, started: bool) -> None:
        """One begins, or is over. Being told twice changes nothing."""
        if started == self.speaking:
            return
        if self._since is not None:
            self._past.append((self._since, trio.current_time()))
            del self._past[:-TURNS_KEPT]
        self._since = trio.current_time() if started else None
        text = self.words.begin() if started else self.words.end()
        known = {} if text is None else {"text": text}
        self._record("tts.started" if started else "tts.stopped", **known)

    @property
    def text(self) -> str | None:
        """What is being said now, where the assistant's platform has told us."""
        return self.words.text if self.speaking else None

    def lasted_ms(self) -> int | None:
        """How long the present turn has been going on, in milliseconds; None while there is none."""
        return None if self._since is None else round(1000 * (trio.current_time() - self._since))

    def between(self, since: float, until: float) -> list[tuple[float, float]]:
        """When the assistant spoke, between two moments of the loop's clock; only its last few turns are known."""
        present = () if self._since is None else ((self._since, until),)
        return [(max(since, a), min(until, b)) for a, b in (*self._past, *present) if b > since and a < until]
