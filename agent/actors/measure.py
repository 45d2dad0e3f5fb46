"""windows -> what is physical in a voice: the profile in which nobody's feelings are judged.

It stands in the analyzer's place. No engine is opened, no reading and no mood are made, so that there is nothing to
tell an assistant and nothing for a rule to go by.
"""

from collections.abc import Callable, Iterable

from ..core.audio import Window
from ..core.emotion import Gated
from ..core.physical import Measured, Meter
from ..ports import Timeline
from .channels import Inbox

EVERY_MS = 1000
"""Of media time, between two events of a voice that speaks on."""

Turns = Callable[[float, float], Iterable[tuple[float, float]]]
"""When the assistant spoke between two moments of the loop's clock, in seconds."""


async def measure(
    windows: Inbox[Window], *, meter: Meter, assistant_spoke: Turns, timeline: Timeline, min_duration_s: float
) -> None:
    """Record what the meter says about one window a second, as long as there is speech, until the windows end."""
    told_ms = -EVERY_MS
    async for window in windows:
        if window.end_ms - told_ms < EVERY_MS:
            continue
        measured = meter.measure(window.end_ms)
        if measured is None:
            continue
        told_ms = window.end_ms
        overlap_ms = overlap(measured, assistant_spoke, window.heard_at)
        gated = {} if measured.speech_ms >= 1000 * min_duration_s else {"gated": Gated.TOO_SHORT.value}
        timeline.record("audio.chunk", **described(measured, overlap_ms), **gated)


def overlap(measured: Measured, assistant_spoke: Turns, heard_at: float) -> int:
    """Milliseconds in which caller and assistant spoke at once. `heard_at`: loop time of the window's last sample; what
    is known of the assistant's turns is when its platform told us."""

    def moment(media_ms: int) -> float:
        return heard_at - (measured.end_ms - media_ms) / 1000

    turns = list(assistant_spoke(moment(measured.start_ms), heard_at))
    return round(
        1000
        * sum(
            max(0.0, min(until, moment(end)) - max(since, moment(start)))
            for start, end in measured.speech
            for since, until in turns
        )
    )


def described(measured: Measured, overlap_ms: int) -> dict[str, object]:
    """A measurement as the fields of an `audio.chunk` event."""
    return {
        "physical": {
            "loudnessDb": round(measured.loudness_db, 1),
            "rate": round(measured.rate, 1),
            "overlapMs": overlap_ms,
        },
        "startMs": measured.start_ms,
        "endMs": measured.end_ms,
        "quality": round(measured.quality, 2),
        "source": "local",
    }
