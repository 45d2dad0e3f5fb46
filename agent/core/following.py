"""A recorded call, followed step by step: what its rules decide now, beside what they decided then."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from .emotion import Mood
from .keeping import again, made
from .rulebook import RuleBook
from .steps import ATTACHED, MAY_TRANSFER, SPEAKING, Asked, Began, Forgotten, Made, Ordered, Step, Took

BookOf = Callable[[str], RuleBook]
"""The rules of a hash; raises LookupError where there is no such text."""
Act = Literal["transfer", "interrupt", "note"]
"""What a decision does at the most."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """One decision that came out otherwise. `t_ms` as in the timeline."""

    t_ms: int
    kind: Literal["added", "missing", "other"]
    """Only the replay made it; only the call did; both did, and not the same."""
    recorded: Made | None
    replayed: Made | None


@dataclass(frozen=True, slots=True)
class Deed:
    """One decision, and when it was made."""

    t_ms: int
    made: Made

    @property
    def kinds(self) -> tuple[Act, ...]:
        """What it did, the strongest first; nothing: there was nobody to tell, or a budget was spent."""
        made = self.made
        did: tuple[tuple[Act, bool], ...] = (
            ("transfer", made.transfer is not None),
            ("interrupt", made.say is not None),
            ("note", bool(made.note)),
        )
        return tuple(kind for kind, true in did if true)


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of deciding again."""

    readings: int
    lasted_s: float
    """From the call's beginning to its last step."""
    recorded: tuple[Deed, ...]
    replayed: tuple[Deed, ...]
    differences: tuple[Divergence, ...]
    record_ends_ms: int | None = None
    """The call went to a human here, and these rules would not have asked for one: what they would have done later is
    unknown."""


class Followed:
    """Deciding again by the call's own rules."""

    def __init__(self, began: Began, book_of: BookOf, book: RuleBook | None = None) -> None:
        self._began_at = self._at = began.at
        self._book_of = book_of
        self.tracker = began.setup.tracker()
        self.rules = began.setup.rules(book or RuleBook())
        self._readings = 0
        self._recorded: list[Deed] = []
        self._replayed: list[Deed] = []
        self._differences: list[Divergence] = []

    def follow(self, step: Step) -> None:
        self._at = step.at
        match step:
            case Took():
                self._readings += 1
                self.tracker.take(again(step.reading), step.at)
            case Asked():
                self.compare(step.at, step.made, self.ask(step))
            case Ordered(cut=True):
                self.rules.interrupted(step.at)
            case Forgotten():
                self.tracker.forget()

    def ask(self, step: Asked) -> Made | None:
        if step.rules is not None:
            self.rules.book = self._book_of(step.rules)
        return self.decide(step.at, step.flags, may_transfer=step.has(MAY_TRANSFER))

    def decide(self, at: float, flags: int, *, may_transfer: bool) -> Made | None:
        decision = self.rules.decide(
            self.mood(at),
            at,
            assistant_speaking=bool(flags & SPEAKING),
            attached=bool(flags & ATTACHED),
            may_transfer=may_transfer,
        )
        return made(decision)

    def mood(self, at: float) -> Mood:
        return self.tracker.mood(at)

    def compare(self, at: float, recorded: Made | None, replayed: Made | None) -> None:
        t_ms = round(1000 * (at - self._began_at))
        if recorded is not None:
            self._recorded.append(Deed(t_ms, recorded))
        if replayed is not None:
            self._replayed.append(Deed(t_ms, replayed))
        if recorded is None and replayed is not None:
            self._differences.append(Divergence(t_ms, "added", None, replayed))
        elif recorded is not None and replayed is None:
            self._differences.append(Divergence(t_ms, "missing", recorded, None))
        elif repr(recorded) != repr(replayed):  # which tells any two floats apart, and no NaN from itself
            self._differences.append(Divergence(t_ms, "other", recorded, replayed))

    def result(self, record_ends: float | None = None) -> Replay:
        return Replay(
            self._readings,
            self._at - self._began_at,
            tuple(self._recorded),
            tuple(self._replayed),
            tuple(self._differences),
            None if record_ends is None else round(1000 * (record_ends - self._began_at)),
        )
