"""What decided in one call, step by step: exact enough that the same code comes to the same decisions from it, bit for
bit, and plain enough to say why months later.

A call's first step says what its memory was made of; the others follow in the order in which they happened. Times are
the loop's clock, unrounded; `n` counts steps, so that a lost one is missed. A field may be added at the end of a kind,
with a default; anything else is a new VERSION. How they are written is in `calls/stepcode.py`.
"""

from typing import Literal, NamedTuple

from .emotion import Gated, Source
from .rulebook import RuleBook
from .rules import Budgets, Rules
from .tracking import Gate, MoodTracker

VERSION = 1
SPEAKING, ATTACHED, MAY_TRANSFER = 1, 2, 4
"""Flags of `Asked`."""


class Setup(NamedTuple):
    """What a call's memory is made of: everything that decisions depend on beside what happens. `*_s` are seconds."""

    gate: float
    min_duration_ms: int
    ignored_labels: tuple[str, ...]
    window_s: float
    min_samples: int
    trend_window_s: float
    buffer_cap: int
    buffer_keep: int
    update_every_s: float
    fresh_s: float
    interrupts: int
    notes: int
    act_at: float
    """The score of rules that name none."""

    def tracker(self) -> MoodTracker:
        return MoodTracker(
            Gate(self.gate, self.min_duration_ms, frozenset(self.ignored_labels)),
            window_s=self.window_s,
            min_samples=self.min_samples,
            trend_window_s=self.trend_window_s,
            buffer_cap=self.buffer_cap,
            buffer_keep=self.buffer_keep,
        )

    def rules(self, book: RuleBook) -> Rules:
        return Rules(
            book,
            update_every_s=self.update_every_s,
            fresh_s=self.fresh_s,
            budgets=Budgets(self.interrupts, self.notes),
        )


class Reading(NamedTuple):
    """An EmotionReading, as it counted. `scores` over LABELS are their numbers alone."""

    emotion: tuple[str, float]
    source: Source
    start_ms: int
    end_ms: int
    heard_at: float
    scores: tuple[float, ...] | dict[str, float]
    quality: float | None
    speech_ms: int | None
    timestamp: float | None
    own: tuple[str, float] | None
    abstained: Gated | None
    baseline: float | None


class Fired(NamedTuple):
    rule: str
    held_s: float
    did: tuple[str, ...]


class Felt(NamedTuple):
    """The mood of a decision."""

    label: str
    score: float
    trend: str
    samples: int
    heard_at: float
    quality: float | None


class Made(NamedTuple):
    """What a decision came to. `note`: our own text for the model, or a rule's; None: nothing was told."""

    mood: Felt
    fired: tuple[Fired, ...]
    note: str | None
    say: str | None
    transfer: str | None
    unheard: bool
    over_budget: tuple[str, ...]


# Of every step: `n` is its place in the call, from 0, and `at` loop time.


class Began(NamedTuple):
    """`at`: the zero of the timeline's `t`."""

    n: int
    at: float
    version: int
    made_by: str
    """Callmood's version."""
    engine: str
    model: str
    """Its model's checksum, or its name and version."""
    setup: Setup


class Took(NamedTuple):
    """A reading was folded in."""

    n: int
    at: float
    reading: Reading


class Asked(NamedTuple):
    """The rules were asked. They are also when nothing has come in, because time alone made something due."""

    n: int
    at: float
    flags: int
    rules: str | None
    """SHA-256 of the rules file in force, where it is another than before; empty: they came from no file."""
    made: Made | None

    def has(self, flag: int) -> bool:
        return bool(self.flags & flag)


class Ordered(NamedTuple):
    """An operator wanted something done. What they wrote is not kept."""

    n: int
    at: float
    action: Literal["interrupt", "context", "transfer"]
    cut: bool
    """The assistant was cut off by it."""


class HandedOver(NamedTuple):
    """The caller speaks with a human: from here nothing is decided."""

    n: int
    at: float


class Forgotten(NamedTuple):
    """Nobody may listen any more, and what was held of the caller is gone."""

    n: int
    at: float


class Ended(NamedTuple):
    """The last one."""

    n: int
    at: float


Step = Began | Took | Asked | Ordered | HandedOver | Forgotten | Ended
KINDS: tuple[type[Step], ...] = (Began, Took, Asked, Ordered, HandedOver, Forgotten, Ended)
"""By the number that a step is written with."""
