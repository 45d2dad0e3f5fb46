"""What a report says, as data. Times are milliseconds since the call began; scores, beliefs and qualities 0 to 1."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

OPINIONS = frozenset({"", "low_confidence", "ignored_label"})
"""States of a reading in which the engine did say something about the caller."""

UNREAD = {
    "calibrating": "getting to know the voice",
    "poor_line": "line too poor to judge",
    "fallback": "the engine gave no answer",
}
"""States in which it did not, in words."""

Kind = Literal["note", "interrupt", "transfer"]


@dataclass(frozen=True, slots=True)
class About:
    """Which call this is, and how it went."""

    call_sid: str
    began_at: str = ""
    """ISO 8601, UTC; empty: not known."""
    ended_at: str = ""
    """Empty: it is live, or was cut off; or this is a recording."""
    outcome: str = ""
    attach: str = ""
    caller: str = ""
    """The last two digits at the most."""
    model: str = ""
    profile: str = "acoustic"
    duration_ms: int = 0
    recording: bool = False
    """No call: nothing was done, and what is told is what would have been."""
    incomplete: bool = False
    """A part of it was lost, or has been forgotten by now."""


@dataclass(frozen=True, slots=True)
class Bar:
    """What the beliefs are measured against."""

    gate: float
    act_at: float
    of_the_call: bool = False
    """The call was decided with these. False: they are the settings of today."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading."""

    t_ms: int
    anger: float
    """P(angry) + P(frustrated), as far as the reading tells."""
    label: str
    score: float
    state: str = ""
    """Why it was refused; `fallback`: the engine made none; empty: it counted."""
    quality: float | None = None
    source: str = "local"
    own: float | None = None
    """The anger of our own engine, where a second opinion has moved it."""
    lasts_ms: int = 0
    """Length of its window."""

    @property
    def says(self) -> bool:
        """There is an opinion in it."""
        return self.state in OPINIONS


@dataclass(frozen=True, slots=True)
class Voice:
    """One measurement, where nobody's feelings are judged."""

    t_ms: int
    loudness_db: float
    rate: float
    """Syllables per second of speech."""
    overlap_ms: int
    """Both spoke at once."""
    state: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the call."""

    from_ms: int
    to_ms: int
    kind: str
    """`assistant`, `gap`, `degraded`, `stopped`, or a state of UNREAD."""
    words: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """The belief went from one level to another and stayed away from the first."""

    from_ms: int
    """When it left the first."""
    to_ms: int
    """When it had come to the second."""
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Recovery:
    """The caller's anger after something was done."""

    before: float | None
    """The belief at that moment; None: there was none."""
    watched_s: float
    """How long the caller was still read afterwards."""
    last: float | None
    """The last belief in that time."""
    below_gate_s: float | None = None
    """Seconds until it stayed below the gate; None: it did not."""
    below_half_s: float | None = None


@dataclass(frozen=True, slots=True)
class RuleFired:
    """One rule's part in a decision."""

    name: str
    did: frozenset[Kind]
    held_s: float
    at_least: float | None = None
    """The score it asks for; None: its text was not kept."""
    for_s: float | None = None


@dataclass(frozen=True, slots=True)
class Why:
    """One decision, as it was recorded when it was made."""

    t_ms: int
    does: frozenset[Kind]
    rules: tuple[RuleFired, ...]
    """Empty: the built-in note alone, because the state had changed."""
    label: str
    score: float
    trend: str
    quality: float | None = None
    note: str = ""
    """What the model was to be told; our own words."""


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that was done, or tried."""

    number: int
    t_ms: int
    kind: Kind
    what: str
    reason: str
    evidence: tuple[tuple[str, str], ...]
    """Name and value, in words."""
    result: str
    failed: bool = False
    wrong: bool = False
    """Somebody at the screen said that it was wrong."""
    note: str = ""
    recovery: Recovery | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table of events."""

    t_ms: int
    event: str
    words: str
    tone: Literal["", "alarm", "warn"] = ""


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything a report says of one call."""

    about: About
    bar: Bar
    samples: Sequence[Sample] = ()
    voices: Sequence[Voice] = ()
    speech: Sequence[Span] = ()
    states: Sequence[Span] = ()
    turns: Sequence[Turn] = ()
    deeds: Sequence[Deed] = ()
    remarks: Sequence[str] = field(default=())
    """Second opinions, outages and gaps, in sentences."""
    rows: Sequence[Row] = ()
    rows_left_out: int = 0
