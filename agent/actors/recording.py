"""What decides, on its way to the ledger: each step as it happens, in a few microseconds, and never in the way."""

from collections.abc import Callable

import structlog

from ..core import steps
from ..core.emotion import EmotionReading
from ..core.keeping import kept, made
from ..core.rulebook import RuleBook
from ..core.rules import Decision
from .incoming import CallState, Order

log = structlog.get_logger()


class Recorder:
    """One call's. Of a reading it holds nothing: what it was told of is the ledger's."""

    def __init__(self, keep: Callable[[steps.Step], None], know: Callable[[str], str]) -> None:
        """`keep` takes a step, `know` the text of a rules file, for its hash; neither waits."""
        self._keep, self._know = keep, know
        self._count = 0
        self._book: RuleBook | None = None
        self._rules: str | None = None
        self._handed_over = self._failed = False

    def began(self, at: float, *, made_by: str, engine: str, model: str, setup: steps.Setup) -> None:
        """First of all. `at`: the zero of the timeline's `t`."""
        self._write(steps.Began(self._next(), at, steps.VERSION, made_by, engine, model, setup))

    def took(self, reading: EmotionReading, now: float) -> None:
        """This reading was folded in."""
        self._write(steps.Took(self._next(), now, kept(reading)))

    def asked(self, call: CallState, book: RuleBook, decision: Decision | None, now: float) -> None:
        """The rules were asked, and this came of it. Before anything is done about it: that changes the call."""
        flags = (
            steps.SPEAKING * call.assistant_speaking
            + steps.ATTACHED * call.assistant_attached
            + steps.MAY_TRANSFER * call.may_transfer
        )
        self._handed_over = False
        self._write(steps.Asked(self._next(), now, flags, self._changed(book), made(decision)))

    def obeyed(self, order: Order, now: float, *, cut: bool) -> None:
        """An operator's order; `cut`: the assistant was cut off. Their words are not kept."""
        self._write(steps.Ordered(self._next(), now, order.action, cut))

    def handed_over(self, now: float) -> None:
        """The caller speaks with a human. Said once."""
        if not self._handed_over:
            self._handed_over = True
            self._write(steps.HandedOver(self._next(), now))

    def forgotten(self, handed_over: bool, now: float) -> None:
        """Nobody may listen any more: because the caller has withdrawn, or a human has taken the call."""
        if handed_over:
            self.handed_over(now)
        self._write(steps.Forgotten(self._next(), now))

    def ended(self, now: float) -> None:
        """Nothing more will come: the record is whole."""
        self._write(steps.Ended(self._next(), now))

    def _changed(self, book: RuleBook) -> str | None:
        """The hash of the rules in force, where they are others than before."""
        if book is self._book:
            return None
        self._book, before = book, self._rules
        self._rules = "" if book.text is None else self._know(book.text)
        return None if self._rules == before else self._rules

    def _next(self) -> int:
        count, self._count = self._count, self._count + 1
        return count

    def _write(self, step: steps.Step) -> None:
        """What cannot be written is missed in the sequence, and costs the call nothing."""
        try:
            self._keep(step)
        except Exception as fault:
            if not self._failed:
                self._failed = True
                log.error("steps.failed", reason=type(fault).__name__)
