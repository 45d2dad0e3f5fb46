"""What a call would have done about a recording: the mood over its readings, and the shipped rules on that mood.

The assistant is taken to be speaking all the time and budgets to be endless, so that every moment is one in which a
wrong alarm would have been heard.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..calls.setup import setup
from ..core.emotion import ANGER, EmotionReading, Gated, Mood
from ..core.rulebook import RuleBook
from ..core.rules import Budgets, Rules
from ..rulefile import shipped
from ..settings import Settings

GOES_ON_S = 1.0
"""A call goes on after a recording, in silence: what only waits for its time to be up is still done."""
_ENDLESS = Budgets(interrupts=1_000_000, notes=1_000_000)


@dataclass(frozen=True, slots=True)
class Moment:
    """The mood after one reading."""

    at_ms: int
    refused: Gated | None
    """Why the reading did not count."""
    anger: float
    """Score of the mood where it is angry or frustrated, else 0."""


@dataclass(frozen=True, slots=True)
class Acted:
    """What happened, in milliseconds from the beginning."""

    moments: tuple[Moment, ...]
    interrupted_ms: tuple[int, ...]
    """The assistant was cut off."""
    escalated_ms: tuple[int, ...]
    """The caller was passed to a human."""


def moments(readings: Sequence[EmotionReading], settings: Settings) -> tuple[Moment, ...]:
    """The mood as a call keeps it."""
    mood_of = setup(settings).tracker()
    return tuple(
        _moment(reading, mood_of.take(reading, reading.end_ms / 1000), mood_of.mood(reading.end_ms / 1000))
        for reading in readings
    )


def act(readings: Sequence[EmotionReading], settings: Settings, book: RuleBook | None = None) -> Acted:
    """The shipped rules on those moods, or others; asked with every reading, and in between when time alone is up."""
    mood_of = setup(settings).tracker()
    rules = Rules(book or shipped(settings.act_at), update_every_s=settings.update_every_s, budgets=_ENDLESS)
    moods: list[Moment] = []
    interrupted: list[int] = []
    escalated: list[int] = []

    def decide(mood: Mood, now: float) -> None:
        decision = rules.decide(mood, now, assistant_speaking=True)
        if decision is None:
            return
        if decision.update is not None and decision.update.barge_in:
            interrupted.append(round(1000 * now))
        if decision.transfer is not None:
            escalated.append(round(1000 * now))

    for reading in readings:
        now = reading.end_ms / 1000
        while (due := rules.recheck_at) < now:
            decide(mood_of.mood(due), due)
        refused = mood_of.take(reading, now)
        mood = mood_of.mood(now)
        decide(mood, now)
        moods.append(_moment(reading, refused, mood))
    goes_on = (readings[-1].end_ms / 1000 if readings else 0.0) + GOES_ON_S
    while (due := rules.recheck_at) <= goes_on:
        decide(mood_of.mood(due), due)
    return Acted(tuple(moods), tuple(interrupted), tuple(escalated))


def _moment(reading: EmotionReading, refused: Gated | None, mood: Mood) -> Moment:
    return Moment(reading.end_ms, refused, mood.emotion.score if mood.emotion.label in ANGER else 0.0)
