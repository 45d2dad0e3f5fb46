"""Why a caller stands where they do on the screen, in one plain sentence. Pure.

No word here names an emotion of a caller of whom only what is physical is measured.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .emotion import ANGER
from .levels import CLEAR_LINE, STALE_S, Bar, Confidence, Level, confidence, level, rank, stands_out
from .seen import Facts, Voice

OFF: Mapping[str, str] = {
    "profile": "Nothing is listened to",
    "withdrawn": "Consent withdrawn: not analysed",
    "stopped": "Analysis stopped",
    "human": "With a human: not analysed",
    "no notice": "Not analysed before the notice",
}
ESCALATION: Mapping[str, str] = {
    "under way": "Being passed on to a human",
    "failed": "Could not be passed on to a human",
}

_STEPS = (5, 10, 15, 20, 30, 40, 50)


@dataclass(frozen=True, slots=True)
class Attention:
    """What the screen says of one caller."""

    level: Level
    rank: int
    """The higher, the sooner somebody should look."""
    why: str
    confidence: Confidence


def attention(facts: Facts, bar: Bar) -> Attention:
    """What these facts come to."""
    found, sure = level(facts, bar), confidence(facts, bar)
    return Attention(found, rank(found, facts), why(found, facts, bar, sure), sure)


def lasting(seconds: float) -> str:
    """How long, in steps that do not change with every look; empty: less than they begin with."""
    if seconds >= 3600:
        return f"{int(seconds // 3600)} h"
    if seconds >= 60:
        return f"{int(seconds // 60)} min"
    return next((f"{step} s" for step in reversed(_STEPS) if seconds >= step), "")


def why(level: Level, facts: Facts, bar: Bar, confidence: Confidence) -> str:
    """One sentence: what is so, how the line is, how sure it is."""
    if facts.off:
        return OFF[facts.off]
    said = [_what(level, facts, bar), *_line(facts, bar)]
    if facts.silent_s >= STALE_S and (facts.anger is not None or facts.voice is not None):
        said.append(f"last heard {lasting(facts.silent_s)} ago")
    if level != "calibrating":
        said.append(f"{confidence} confidence")
    return "; ".join(said)


def _what(level: Level, facts: Facts, bar: Bar) -> str:
    if level == "help" and facts.escalation:
        return ESCALATION[facts.escalation]
    if level == "calibrating":
        return "Not enough speech yet"
    if level == "unsure":
        return _unsure(facts)
    return _sound(facts.voice) if facts.physical else _mood(level, facts, bar)


def _mood(level: Level, facts: Facts, bar: Bar) -> str:
    label, rising = facts.label.capitalize(), facts.trend == "rising"
    if level == "help":
        return _for(label, facts.label_s) + (", rising" if rising else "")
    if level == "watch":
        angry = label if facts.label in ANGER else "Angry at times"
        return _for("Rising", facts.trend_s) if rising else _for(angry, facts.label_s)
    if facts.anger is not None and facts.anger.p >= bar.some:
        return _for("Calming", facts.trend_s) if facts.trend == "falling" else "Some anger"
    return "Calm" if facts.label in ("", "neutral", *ANGER) else _for(label, facts.label_s)


def _unsure(facts: Facts) -> str:
    if facts.abstained == "poor_line":
        return "Can't tell: the line is too poor"
    if facts.impaired:
        return "Can't tell: the analysis is impaired"
    return "Can't tell: too poor a line" if facts.physical else "Can't tell: readings differ"


def _for(what: str, seconds: float) -> str:
    return f"{what} for {lasting(seconds)}" if lasting(seconds) else f"{what} just now"


def _sound(voice: Voice | None) -> str:
    if voice is None or not stands_out(voice):
        return "Nothing stands out"
    said = [f"louder than before by {round(voice.louder_db)} dB"] if voice.louder_db >= 1 else []
    if voice.overlap_ms:
        said.append(f"both spoke at once for {voice.overlap_ms / 1000:.1f} s")
    text = ", ".join([*said, f"{voice.rate:.0f} syllables a second"])
    return text[:1].upper() + text[1:]


def _line(facts: Facts, bar: Bar) -> Iterator[str]:
    if facts.quality is not None and facts.abstained != "poor_line":
        yield "clear line" if facts.quality >= CLEAR_LINE else "fair line" if facts.quality >= bar.poor else "poor line"
