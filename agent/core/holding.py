"""Since when one rule's condition has held in one call, and when that rule may fire. Pure, like all of the rules."""

import math
from dataclasses import dataclass

from .emotion import Mood
from .rulebook import Rule

DIP, DIP_S = 0.05, 0.3
"""A score this little below a rule's, and for no longer than this, does not begin its time anew: one doubtful window
does not calm a caller down."""


@dataclass(slots=True)
class Holding:
    """What one call remembers of one rule. Moments are the caller's clock."""

    rule: Rule
    since: float | None = None
    """Its condition holds since then."""
    dipped_at: float | None = None
    fired_at: float = -math.inf

    def observe(self, mood: Mood, now: float) -> None:
        label, score = mood.emotion.label, mood.emotion.score
        named = label in self.rule.emotions and label in mood.support
        if named and score >= self.rule.at_least:
            self.since, self.dipped_at = now if self.since is None else self.since, None
        elif named and score >= self.rule.at_least - DIP and self.since is not None:
            self.dipped_at = now if self.dipped_at is None else self.dipped_at
            if now - self.dipped_at >= DIP_S:
                self.since = None
        else:
            self.since = self.dipped_at = None

    @property
    def due_at(self) -> float:
        """When it may fire, if nothing changes; never while its condition does not hold."""
        if self.since is None or self.dipped_at is not None:
            return math.inf
        return max(self.since + self.rule.for_s, self.fired_at + self.rule.cooldown_s)

    def suits(self, mood: Mood) -> bool:
        """Trend and quality."""
        poor = mood.quality is not None and mood.quality < self.rule.unless_quality_below
        return not poor and self.rule.trend in (None, mood.trend)
