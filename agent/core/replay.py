"""A recorded call, decided again: by the rules it was decided with, or by others.

With its own rules the record is followed step by step, and every decision must come out as it was, to the last bit.
With others the call is what it was (the readings, who spoke when, what operators did), and the rules are another's: the
clock wakes them when they want to be woken, and whether a human may be asked for follows from what they did themselves.
What their deeds would have changed in the caller is nobody's to know; where the real call went to a human there is
nothing more to decide on, and the record ends there.
"""

from collections.abc import Callable

from .emotion import Mood
from .following import BookOf, Followed, Replay
from .record import Record
from .rulebook import RuleBook
from .steps import MAY_TRANSFER, Asked, Began, Forgotten, HandedOver, Made, Ordered, Setup, Step, Took

LATE_S = 0.05
"""Whoever is woken by the clock wakes a little late: what is due this shortly before a step is left to that step."""

Moods = dict[tuple[int, float], Mood]
"""What was believed after so many changes of the belief, at a moment."""


def replay(record: Record, book_of: BookOf, book: RuleBook | None = None) -> Replay:
    """Decide this record again: by its own rules, or by `book`. Raises LookupError where its own are not to be had."""
    return _decided(record, lambda began: Followed(began, book_of) if book is None else _Tried(began, book))


def replay_changed(record: Record, book_of: BookOf, setup: Setup, moods: Moods) -> Replay:
    """Decide this record again by its own rules, changed: `book_of` gives each of them as changed, and `setup` is what
    its memory is made of now. `moods`, empty at first, is for whoever tries many rules on one record and one `setup`.
    Raises LookupError where there are no such rules."""
    return _decided(record, lambda began: _Changed(began._replace(setup=setup), book_of, moods))


def _decided(record: Record, begin: Callable[[Began], Followed]) -> Replay:
    if record.began is None:
        raise ValueError(f"the record {record.flaw}")
    again = begin(record.began)
    for step in record.steps:
        again.follow(step)
    return again.result()


class _Tried(Followed):
    """Deciding again by other rules."""

    def __init__(self, began: Began, book: RuleBook) -> None:
        super().__init__(began, _no_book, book)
        self._flags = 0
        self._fresh = False
        """Something has come in since the rules were asked last: whoever they are, they are asked now."""
        self._deciding = True
        self._asked_for_human = False
        self._taken_by_rule = False
        """The recorded rules had asked for a human, which is why none might be asked for any more."""
        self._ends: float | None = None

    def follow(self, step: Step) -> None:
        self._wake_before(step.at)
        super().follow(step)
        match step:
            case Took() | Ordered():
                self._fresh = True
                if isinstance(step, Ordered) and step.action == "transfer":
                    self._taken_by_rule = False
            case HandedOver():
                self._deciding = False
                if not self._asked_for_human and self._ends is None:
                    self._ends = step.at
            case Forgotten():
                self._deciding = False

    def ask(self, step: Asked) -> Made | None:
        self._deciding, self._flags = True, step.flags
        if self._taken_by_rule and step.has(MAY_TRANSFER):
            self._taken_by_rule = False  # it came to nothing: a second opinion would rather not
        by_clock, self._fresh = not self._fresh, False
        # Where the clock woke the recorded rules, these may not have wanted to be woken.
        asleep = by_clock and self.rules.recheck_at > step.at
        answer = None if asleep else self._decide(step.at)
        if step.made is not None and step.made.transfer is not None:
            self._taken_by_rule = True
        return answer

    def result(self, record_ends: float | None = None) -> Replay:
        return super().result(self._ends)

    def _wake_before(self, at: float) -> None:
        """Ask the rules whenever they wanted to be asked before this moment."""
        while self._deciding and (due := self.rules.recheck_at) < at - LATE_S:
            self.compare(due, None, self._decide(due))

    def _decide(self, at: float) -> Made | None:
        open_ = bool(self._flags & MAY_TRANSFER) or self._taken_by_rule
        answer = self.decide(at, self._flags, may_transfer=open_ and not self._asked_for_human)
        self._asked_for_human |= answer is not None and answer.transfer is not None
        return answer


class _Changed(_Tried):
    """Deciding again by the call's own rules, which are others now."""

    def __init__(self, began: Began, book_of: BookOf, moods: Moods) -> None:
        super().__init__(began, RuleBook())
        self._book_of, self._moods, self._changes = book_of, moods, 0

    def follow(self, step: Step) -> None:
        super().follow(step)
        self._changes += isinstance(step, Took | Forgotten)

    def mood(self, at: float) -> Mood:
        when = self._changes, at
        if (known := self._moods.get(when)) is None:
            known = self._moods[when] = super().mood(at)
        return known

    def ask(self, step: Asked) -> Made | None:
        if step.rules is not None:
            self.rules.book = self._book_of(step.rules)
        return super().ask(step)


def _no_book(name: str) -> RuleBook:
    raise LookupError(name)
