"""What is known of one caller at one moment, for whoever looks on."""

from dataclasses import dataclass
from typing import Literal

from .curve import Anger

Off = Literal["", "profile", "withdrawn", "stopped", "human", "no notice"]
"""Why nothing is judged: the profile, the caller, somebody at the screen, a transfer, or the caller has not been told
yet. Empty: they are listened to."""


@dataclass(frozen=True, slots=True)
class Voice:
    """What is physical in a voice, where nothing else is judged."""

    louder_db: float
    """Than this caller usually is."""
    rate: float
    """Syllables a second."""
    overlap_ms: int
    """Of the last window, both speaking at once."""


@dataclass(frozen=True, slots=True)
class Facts:
    """One caller, now. `*_s`: for so many seconds."""

    off: Off = ""
    physical: bool = False
    """Only what is physical is measured."""
    voice: Voice | None = None
    """None: not measured, or not yet."""
    label: str = ""
    """What dominates; empty: too few readings."""
    score: float = 0.0
    label_s: float = 0.0
    anger: Anger | None = None
    trend: str = "steady"
    trend_s: float = 0.0
    samples: int = 0
    """Single readings so far."""
    quality: float | None = None
    """Of the line, 0 unusable to 1 clean."""
    silent_s: float = 0.0
    """Since the newest reading that said something."""
    abstained: str = ""
    """Why the newest reading says nothing: `calibrating`, `poor_line`; empty: it does."""
    impaired: bool = False
    """An engine is degraded."""
    escalation: Literal["", "under way", "failed"] = ""
    escalated_s: float = 0.0
