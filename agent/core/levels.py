"""Which caller needs somebody, how sure that is, and why: for whoever looks on. Pure, and nothing is decided by it.

What counts as much is what the rules in force say: a caller needs help from the score at which a rule acts on such a
mood, unless the line is too poor for that rule. Not being able to tell is a state of its own, and no calm.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from .curve import Anger
from .emotion import ANGER
from .rulebook import Rule
from .seen import Facts, Voice

Level = Literal["help", "watch", "ok", "calibrating", "unsure", "off"]
Confidence = Literal["high", "medium", "low"]

ORDER: dict[Level, int] = {"help": 5, "watch": 4, "unsure": 3, "calibrating": 2, "ok": 1, "off": 0}
"""Who comes first on the screen."""

POOR_LINE, CLEAR_LINE = 0.3, 0.6
"""Quality below the one is poor, where no rule says otherwise, and from the other on clear."""
STALE_S = 10.0
"""After so long without a reading we are no longer sure of anything, and nothing is rising."""
FAILED_S = 120.0
"""For so long a caller whom no human could take needs somebody, however they sound."""
LOUDER_DB, AT_ONCE_MS = 6.0, 1000
"""Where only what is physical is measured: this much louder than usual, or both speaking at once for so long of the
last window, stands out."""


def anger_at(rules: Sequence[Rule], act_at: float) -> float:
    """The lowest score of anger on which one of these rules acts; `act_at` where none does."""
    return min((rule.at_least for rule in rules if rule.emotions & ANGER), default=act_at)


@dataclass(frozen=True, slots=True)
class Bar:
    """What callers are measured by: the settings and the rules in force."""

    gate: float
    act_at: float
    window_s: float
    min_samples: int
    rules: Sequence[Rule] = ()
    anger_at: float = field(init=False)
    """The lowest score of anger on which a rule acts."""
    poor: float = field(init=False)
    """Below this quality nobody should act."""
    some: float = field(init=False)
    """From here on a caller is not simply calm."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "anger_at", anger_at(self.rules, self.act_at))
        poor = max((rule.unless_quality_below for rule in self.rules), default=0.0)
        object.__setattr__(self, "poor", poor or POOR_LINE)
        object.__setattr__(self, "some", self.gate / 3)

    def acts_on(self, label: str, score: float, quality: float | None) -> bool:
        """A rule is there for such a mood on such a line."""
        return any(
            score >= rule.at_least
            and label in rule.emotions
            and (quality is None or quality >= rule.unless_quality_below)
            for rule in self.rules
        )


def level(facts: Facts, bar: Bar) -> Level:
    """How much this caller needs somebody now."""
    if facts.off:
        return "off"
    if facts.escalation == "under way" or _failed_lately(facts, bar):
        return "help"
    return _by_sound(facts, bar) if facts.physical else _by_mood(facts, bar)


def _by_mood(facts: Facts, bar: Bar) -> Level:
    if facts.abstained == "poor_line" or (facts.impaired and facts.silent_s > bar.window_s):
        return "unsure"
    if facts.anger is None:
        return "calibrating"
    poor = facts.quality is not None and facts.quality < bar.poor
    if poor and facts.anger.low < bar.anger_at <= facts.anger.high:
        return "unsure"
    if facts.label and bar.acts_on(facts.label, facts.score, facts.quality):
        return "help"
    rising = facts.trend == "rising" and facts.anger.p >= bar.some and facts.silent_s < STALE_S
    return "watch" if rising or facts.anger.p >= bar.gate else "ok"


def _by_sound(facts: Facts, bar: Bar) -> Level:
    if facts.voice is None:
        return "unsure" if facts.impaired else "calibrating"
    if facts.quality is not None and facts.quality < bar.poor:
        return "unsure"
    return "watch" if stands_out(facts.voice) and facts.silent_s < STALE_S else "ok"


def _failed_lately(facts: Facts, bar: Bar) -> bool:
    if facts.escalation != "failed":
        return False
    return facts.escalated_s < FAILED_S or (facts.anger is not None and facts.anger.p >= bar.gate)


def stands_out(voice: Voice) -> bool:
    return voice.louder_db >= LOUDER_DB or voice.overlap_ms >= AT_ONCE_MS


def confidence(facts: Facts, bar: Bar) -> Confidence:
    """How sure all this is: by the line, by how far readings lie apart, and by how long ago the last one was."""
    quality = 1.0 if facts.quality is None else facts.quality
    if facts.voice is not None:
        spread = 0.0
    elif facts.anger is None:
        return "low"
    else:
        spread = facts.anger.high - facts.anger.low
    few = facts.voice is None and facts.samples < bar.min_samples
    if quality < bar.poor or facts.silent_s >= STALE_S or spread > 0.5 or few:
        return "low"
    known = bool(facts.label) or facts.voice is not None
    return "high" if known and quality >= CLEAR_LINE and spread <= 0.25 else "medium"


def rank(level: Level, facts: Facts) -> int:
    """The higher, the sooner somebody should look. By level first, then by how angry, then by the trend."""
    anger: Anger | None = facts.anger
    p = 0 if anger is None else round(20 * anger.p)
    sent = {"failed": 300, "under way": 200}.get(facts.escalation, 0) if level == "help" else 0
    return 1000 * ORDER[level] + sent + 10 * p + 5 * (facts.trend == "rising")
