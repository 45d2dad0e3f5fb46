"""What the supervisor's screen knows of one call beside its mood: how it has gone lately, and what was done last.

It is told of every event of the call's timeline, after whatever the profile withholds has been taken out, and is looked
at about once a second. What is kept is bounded, and goes when nobody may listen any more.
"""

from collections.abc import Mapping
from typing import Any

from ..core.attention import Attention
from ..core.curve import Curve
from ..core.emotion import ANGER
from ..core.levels import ORDER
from ..core.seen import Voice

CALMS_IN_S = 3.0
"""A caller who seems to need less attention is believed after so long: one doubtful moment moves nobody down."""
USUAL_OF = 30
"""Measurements of a voice from which its usual loudness is known."""
SMOOTHING = 0.2
"""Of the line's quality: what is said of it does not change with every reading."""
LAST_FIELDS = ("action", "rule", "reason")
TOLD = frozenset({"tts.cancelled", "context.updated", "context.failed"})
ESCALATION = "escalation."


class Standing:
    """One call's. Plain state, changed from one thread."""

    def __init__(self) -> None:
        self.curve = Curve()
        self.voice: Voice | None = None
        self.quality: float | None = None
        self.abstained = ""
        self.impaired: set[str] = set()
        """Engines that are degraded."""
        self.last_action: dict[str, object] | None = None
        self.heard_at: float | None = None
        """When something was read of the caller last."""
        self.escalated_at = 0.0
        self._loudness: list[float] = []
        self._since: dict[str, tuple[str, float]] = {}
        self.attention: Attention | None = None
        self.since_t = 0
        """When its level began, milliseconds since the call began."""
        self._vouched_at = 0.0

    def forget(self) -> None:
        """Nothing is to be known of the caller any more; what was done stays."""
        self.curve.forget()
        self.voice = self.quality = self.heard_at = None
        self.abstained, self.attention = "", None
        self._loudness.clear()
        self._since.clear()

    def note(self, event: Mapping[str, Any], now: float) -> None:
        """One event, as it is shown. Never waits."""
        name = event["event"]
        if name == "audio.chunk":
            self._heard(event, now)
        elif name in TOLD or name.startswith(ESCALATION):
            self.last_action = {
                "event": name,
                "t": event["t"],
                **{field: event[field] for field in LAST_FIELDS if field in event},
            }
            if name.startswith(ESCALATION):
                self.escalated_at = now
        elif name == "analyzer.degraded":
            self.impaired.add(str(event.get("engine")))
        elif name == "analyzer.recovered":
            self.impaired.discard(str(event.get("engine")))

    def _heard(self, chunk: Mapping[str, Any], now: float) -> None:
        gated = chunk.get("gated", "")
        if chunk.get("source") == "fallback" or gated in ("too_short", "no_notice", "stopped"):
            return
        if (quality := chunk.get("quality")) is not None:
            before = quality if self.quality is None else self.quality
            self.quality = before + SMOOTHING * (quality - before)
        self.abstained = gated if gated in ("calibrating", "poor_line") else ""
        if self.abstained:
            return
        if (physical := chunk.get("physical")) is not None:
            self._measured(physical)
        elif (emotion := chunk.get("emotion")) is not None:
            scores = chunk.get("scores") or {}
            own = emotion["score"] if emotion["label"] in ANGER else sum([scores.get(label, 0.0) for label in ANGER])
            self.curve.add(own, now)
        self.heard_at = now

    def _measured(self, physical: Mapping[str, float]) -> None:
        loud = physical["loudnessDb"]
        usual = sum(self._loudness) / len(self._loudness) if len(self._loudness) >= USUAL_OF // 3 else loud
        self._loudness.append(loud)
        del self._loudness[:-USUAL_OF]
        self.voice = Voice(loud - usual, physical["rate"], int(physical["overlapMs"]))

    def lasted_s(self, what: str, value: str, now: float) -> float:
        """For how long this has had this value, as far as it was looked at."""
        known, since = self._since.get(what, (None, now))
        if known != value:
            self._since[what] = (value, since := now)
        return now - since

    def settle(self, found: Attention, now: float, t_ms: int) -> None:
        """Take note of where the caller stands now. Up at once, down after a while."""
        before = self.attention
        if before is None or ORDER[found.level] >= ORDER[before.level]:
            self._vouched_at = now
        elif found.level != "off" and before.level != "calibrating" and now - self._vouched_at < CALMS_IN_S:
            return
        if before is None or found.level != before.level:
            self.since_t = t_ms
            self._vouched_at = now
        self.attention = found
