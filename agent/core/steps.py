"""What decided in one call, step by step: exact enough that the same code comes to the same decisions from it, bit for
bit, and plain enough to say why months later.

A call's first step says what its memory was made of; the others follow in the order in which they happened. Times are
the loop's clock, unrounded. Each step is one MessagePack array; `n` counts them, so that a lost one is missed. A field
may be added at the end of a kind, with a default; anything else is a new VERSION.
"""

from typing import Literal

import msgspec

from .emotion import Gated, Source
from .rulebook import RuleBook
from .rules import Budgets, Rules
from .tracking import Gate, MoodTracker

VERSION = 1
SPEAKING, ATTACHED, MAY_TRANSFER = 1, 2, 4
"""Flags of `Asked`."""


class Setup(msgspec.Struct, frozen=True, array_like=True):
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


class Reading(msgspec.Struct, frozen=True, array_like=True):
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


class Fired(msgspec.Struct, frozen=True, array_like=True):
    rule: str
    held_s: float
    did: tuple[str, ...]


class Felt(msgspec.Struct, frozen=True, array_like=True):
    """The mood of a decision."""

    label: str
    score: float
    trend: str
    samples: int
    heard_at: float
    quality: float | None


class Made(msgspec.Struct, frozen=True, array_like=True):
    """What a decision came to. `note`: our own text for the model, or a rule's; None: nothing was told."""

    mood: Felt
    fired: tuple[Fired, ...]
    note: str | None
    say: str | None
    transfer: str | None
    unheard: bool
    over_budget: tuple[str, ...]


class _Step(msgspec.Struct, frozen=True, array_like=True):
    n: int
    """Its place in the call, from 0."""
    at: float
    """Loop time."""


class Began(_Step, frozen=True, array_like=True, tag=0):
    """`at`: the zero of the timeline's `t`."""

    version: int
    made_by: str
    """Callmood's version."""
    engine: str
    model: str
    """Its model's checksum, or its name and version."""
    setup: Setup


class Took(_Step, frozen=True, array_like=True, tag=1):
    """A reading was folded in."""

    reading: Reading


class Asked(_Step, frozen=True, array_like=True, tag=2):
    """The rules were asked. They are also when nothing has come in, because time alone made something due."""

    flags: int
    rules: str | None
    """SHA-256 of the rules file in force, where it is another than before; empty: they came from no file."""
    made: Made | None

    def has(self, flag: int) -> bool:
        return bool(self.flags & flag)


class Ordered(_Step, frozen=True, array_like=True, tag=3):
    """An operator wanted something done. What they wrote is not kept."""

    action: Literal["interrupt", "context", "transfer"]
    cut: bool
    """The assistant was cut off by it."""


class HandedOver(_Step, frozen=True, array_like=True, tag=4):
    """The caller speaks with a human: from here nothing is decided."""


class Forgotten(_Step, frozen=True, array_like=True, tag=5):
    """Nobody may listen any more, and what was held of the caller is gone."""


class Ended(_Step, frozen=True, array_like=True, tag=6):
    """The last one."""


Step = Began | Took | Asked | Ordered | HandedOver | Forgotten | Ended

encode = msgspec.msgpack.Encoder().encode
"""A step, or a part of one, as bytes. Equal bytes: equal to the last bit."""
_decoder: msgspec.msgpack.Decoder[Step] = msgspec.msgpack.Decoder(Step)


def decode(data: bytes) -> Step:
    """Raises ValueError where it is no step we know."""
    return _decoder.decode(data)
