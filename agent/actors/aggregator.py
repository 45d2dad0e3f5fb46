"""readings -> updates, through MoodTracker and Rules. Our engine's readings and those from outside share one inbox.

While no assistant can be told, nothing counts as announced: the first reading after one has been attached speaks of the
caller's mood then, not of an old one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import trio

from ..core.context import ContextUpdate
from ..core.emotion import EmotionReading, Gated, Mood
from ..core.rules import Rules
from ..core.tracking import MoodTracker
from ..ports import Timeline
from .channels import Inbox, Outbox

NOBODY_TO_TELL = "no assistant is attached yet: Vapi has not sent this call's control address"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a reading."""

    refused: Gated | None
    mood: Mood
    buffer_size: int


@dataclass(frozen=True, slots=True)
class Heard:
    """A reading on its way in."""

    reading: EmotionReading
    answer: Callable[[Verdict], None] | None = None
    """Told at once what became of it, where somebody waits to know."""


class CallState(Protocol):
    """What the aggregator shares with the rest of its call."""

    @property
    def assistant_attached(self) -> bool:
        """There is somebody to tell."""

    @property
    def assistant_speaking(self) -> bool: ...

    def believe(self, verdict: Verdict) -> None:
        """Take note of the newest belief."""


async def aggregate(
    readings: Inbox[Heard],
    updates: Outbox[ContextUpdate],
    *,
    tracker: MoodTracker,
    rules: Rules,
    call: CallState,
    timeline: Timeline,
) -> None:
    """Fold readings in until they end; offer an update whenever the mood has earned one."""
    said_unattached = False
    with updates:
        while True:
            with trio.CancelScope(deadline=rules.recheck_at):
                try:
                    heard = await readings.receive()
                except trio.EndOfChannel:
                    return
                fold(heard, tracker, call, timeline)
            now = trio.current_time()
            update = rules.decide(tracker.mood(now), now, assistant_speaking=call.assistant_speaking)
            if update is None:
                continue
            if call.assistant_attached:
                updates.offer(update)
                continue
            rules.forget()
            if not said_unattached:
                said_unattached = True
                timeline.record("context.failed", reason=NOBODY_TO_TELL, willRetry=True)


def fold(heard: Heard, tracker: MoodTracker, call: CallState, timeline: Timeline) -> None:
    """Take one reading in, record it, and tell whoever waits for the verdict."""
    now = trio.current_time()
    refused = tracker.take(heard.reading, now)
    verdict = Verdict(refused, tracker.mood(now), tracker.buffer_size)
    call.believe(verdict)
    timeline.record("audio.chunk", **described(heard.reading, refused))
    if heard.answer is not None:
        heard.answer(verdict)


def described(reading: EmotionReading, refused: Gated | None) -> dict[str, object]:
    """A reading as the fields of an `audio.chunk` event."""
    fields: dict[str, object] = {
        "emotion": {"label": reading.emotion.label, "score": round(reading.emotion.score, 3)},
        "scores": {label: round(p, 4) for label, p in reading.scores.items()},
        "startMs": reading.start_ms,
        "endMs": reading.end_ms,
        "quality": None if reading.quality is None else round(reading.quality, 2),
        "source": reading.source,
    }
    if refused is not None:
        fields["gated"] = refused.value
    if reading.timestamp is not None:
        fields["timestamp"] = reading.timestamp
    return fields
