"""What happened in one call, as JSON lines: made once here, kept by the ledger, and shown to whoever watches now."""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

import msgspec
import trio

from ..core.destination import masked_in
from ..core.instants import instant, second
from ..ports import Ledger

SPOKEN = frozenset({"text", "unheardText"})
"""Fields that hold what somebody said: shown live without the numbers in it, kept on disk only when a setting says so.
"""

EMOTION = ("emotion", "scores", "dominantEmotion", "score", "trend")
"""Fields that name an emotion: none of them is shown or kept where the profile knows no emotions."""

MILESTONES = ("call.started", "call.ended")
"""All there is to know of a call in which nothing is heard."""

_encode = msgspec.json.Encoder().encode


class Record(Protocol):
    """A timeline's `record`, for whoever is handed a function."""

    def __call__(self, event: str, **fields: object) -> None: ...


class Audience(Protocol):
    def publish(self, call_sid: str, ordinal: int, event: Mapping[str, object], line: bytes) -> None:
        """Show one event to whoever watches; `ordinal` 0: now or never. Never waits, never fails."""


class CallTimeline:
    """One call's. `t` counts milliseconds of the loop's clock from the moment it was made."""

    def __init__(self, call_sid: str, *, began: datetime, ledger: Ledger, audience: Audience, keep_text: bool) -> None:
        self._call_sid, self._ledger, self._audience, self._keep_text = call_sid, ledger, audience, keep_text
        self.began_at = trio.current_time()
        self._began_ms = 1000 * int(began.timestamp()) + began.microsecond // 1000
        self._second = (-1, "")
        """The newest of which we know how it is written."""
        self.began_instant = instant(began)
        """ISO 8601, UTC."""
        self.counts: Counter[str] = Counter()
        """Events so far, by name."""
        self._count = 0
        """All of them together."""
        self.last_at: dict[str, float] = {}
        """Loop time of the newest event of each name."""
        self.opening: Callable[[], None] | None = None
        """Records the first event, before any other."""
        self.told: Callable[[Mapping[str, object], float], None] | None = None
        """Who else of the call is told of each event as it is shown, with the loop time: a plain function."""
        self._withheld: tuple[str, ...] = ()
        self._only: tuple[str, ...] = ()

    def keep_to(self, profile: str) -> None:
        """Let through what this profile allows; everything else is as if it had not happened."""
        self._withheld = () if profile == "acoustic" else EMOTION
        self._only = MILESTONES if profile == "off" else ()

    @property
    def elapsed_ms(self) -> int:
        """Since the call began."""
        return round(1000 * (trio.current_time() - self.began_at))

    def instant(self, t_ms: int) -> str:
        """ISO 8601, UTC, of a moment in the call."""
        epoch_s, ms = divmod(self._began_ms + t_ms, 1000)
        if self._second[0] != epoch_s:
            self._second = (epoch_s, second(epoch_s))
        return f"{self._second[1]}.{ms:03}Z"

    def aside(self, event: str, **fields: object) -> None:
        """Show something to whoever watches just now. It is kept nowhere, and has no place in the timeline."""
        if not self._only:
            t = self.elapsed_ms
            _mask(fields)
            entry = {"t": t, "at": self.instant(t), "callSid": self._call_sid, "event": event, **fields}
            self._audience.publish(self._call_sid, 0, entry, _encode(entry))

    def record(self, event: str, **fields: object) -> None:
        if self.opening is not None:
            opening, self.opening = self.opening, None
            opening()
        if self._only and event not in self._only:
            return
        now = trio.current_time()
        t = round(1000 * (now - self.began_at))
        for name in self._withheld:
            fields.pop(name, None)
        spoken = not SPOKEN.isdisjoint(fields)
        if spoken:
            _mask(fields)
        entry = {"t": t, "at": self.instant(t), "callSid": self._call_sid, "event": event, **fields}
        line = _encode(entry)
        self.counts[event] += 1
        self._count += 1
        self.last_at[event] = now
        if self.told is not None:
            self.told(entry, now)
        self._audience.publish(self._call_sid, self._count, entry, line)
        if spoken and not self._keep_text:
            line = _encode({name: value for name, value in entry.items() if name not in SPOKEN})
        self._ledger.append(self._call_sid, line)


def _mask(fields: dict[str, object]) -> None:
    """Hide the numbers in what was said."""
    for name in SPOKEN.intersection(fields):
        if isinstance(text := fields[name], str):
            fields[name] = masked_in(text)
