"""Recorded calls out of the ledger, decided again: one of them, or many beside each other."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from typing import Any, Protocol

import msgspec

from .calls.stepcode import read
from .core.following import BookOf, Deed, Replay
from .core.record import Record
from .core.replay import Moods, replay, replay_changed
from .core.rulebook import RuleBook, parse
from .core.steps import Setup
from .errors import ConfigError
from .ledger.reading import Reader
from .ledger.rows import CallRow

COUNTED = ("decisions", "notes", "interrupts", "transfers")
"""What a call's decisions come to, in the order of the table."""
TIMELINE_LOOKED_AT = 3
"""Lines: the first one says the profile."""
TEXTS_KEPT = 64
"""Rules files that stay parsed."""
GOES_ON = "has not ended yet, or its process was killed: its record is not whole"

Rules = str | None
"""The text of a rules file; None: each call's own."""


class Change(Protocol):
    """What is changed about a call's rules, and what its memory is made of."""

    def book(self, book: RuleBook) -> RuleBook: ...
    def setup(self, setup: Setup) -> Setup: ...


@dataclass(frozen=True, slots=True)
class Tried:
    """One call, decided again."""

    call_sid: str
    record: Record
    """With what the ledger knows of its flaws."""
    replay: Replay | None
    """None: there is nothing to go by."""

    @property
    def as_it_was(self) -> bool:
        """All of it is there, and nothing came out otherwise."""
        return self.record.flaw is None and self.replay is not None and not self.replay.differences

    @property
    def incomplete(self) -> str | None:
        """Why the record is not all there, in one sentence."""
        return None if self.record.flaw is None else f"call {self.call_sid} {self.record.flaw}"


@dataclass(slots=True)
class Table:
    """Many calls. Those whose record is not whole are counted, and left out of everything else."""

    calls: int = 0
    before: Counter[str] = field(default_factory=Counter)
    after: Counter[str] = field(default_factory=Counter)
    otherwise: list[str] = field(default_factory=list)
    """The ids of those that were decided otherwise."""
    record_ends: int = 0
    """Of how many the record ends where the caller went to a human."""
    incomplete: list[str] = field(default_factory=list)
    """A sentence each."""
    lasted_s: float = 0.0

    def add(self, tried: Tried) -> None:
        self.calls += 1
        if tried.incomplete is not None or tried.replay is None:
            self.incomplete.append(tried.incomplete or tried.call_sid)
            return
        self.before += counted(tried.replay.recorded)
        self.after += counted(tried.replay.replayed)
        self.lasted_s += tried.replay.lasted_s
        self.record_ends += tried.replay.record_ends_ms is not None
        if tried.replay.differences:
            self.otherwise.append(tried.call_sid)


def try_call(ledger: Reader, row: CallRow, rules: Rules = None) -> Tried:
    """This call, decided again by its own rules or by these. Raises ConfigError where these are not right, and
    LedgerUnavailable."""
    data = ledger.steps(row)
    record = read(data)
    record = replace(record, flaw=_flaw(record.flaw, row) if data else _nothing(ledger, row))
    if record.began is None:
        return Tried(row.call_sid, record, None)
    act_at = record.began.setup.act_at
    book = None if rules is None else _parsed(rules, act_at)
    try:
        return Tried(row.call_sid, record, replay(record, own_rules(ledger, act_at), book))
    except LookupError as missing:
        lost = f"was decided by rules that are not kept ({str(missing.args[0])[:12] or 'from no file'})"
        return Tried(row.call_sid, replace(record, flaw=lost), None)
    except (ValueError, ArithmeticError):
        return Tried(row.call_sid, replace(record, flaw="has figures in its record that make no sense"), None)


def try_change(ledger: Reader, record: Record, change: Change, moods: Moods) -> Replay:
    """This call, which was decided again as it was, with its own rules and thresholds changed. `moods`: empty at first,
    and good for the other changes with the same `setup`."""
    assert record.began is not None
    setup = record.began.setup
    own = own_rules(ledger, setup.act_at)
    return replay_changed(record, lambda name: change.book(own(name)), change.setup(setup), moods)


def events_of(ledger: Reader, row: CallRow) -> list[dict[str, Any]]:
    """The timeline of a call; what cannot be read of it is passed over."""
    found = []
    for line in ledger.timeline(row):
        try:
            found.append(msgspec.json.decode(line, type=dict[str, Any]))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
    return found


def counted(deeds: Iterable[Deed]) -> Counter[str]:
    """What these decisions come to. That there was nobody to tell, or a budget spent, is none."""
    total: Counter[str] = Counter()
    for deed in deeds:
        kinds = deed.kinds
        total["decisions"] += bool(kinds)
        total.update(f"{kind}s" for kind in kinds)
    return total


def own_rules(ledger: Reader, act_at: float) -> BookOf:
    """The rules that a call was decided by, from the ledger."""

    def book(name: str) -> RuleBook:
        text = ledger.text(name) if name else None
        if text is None:
            raise LookupError(name)
        try:
            return _parsed(text, act_at)
        except ConfigError:
            raise LookupError(name) from None  # what is right may have changed since

    return book


@lru_cache(maxsize=TEXTS_KEPT)
def _parsed(text: str, act_at: float) -> RuleBook:
    return parse(text, act_at=act_at, file="the rules file")


def _flaw(flaw: str | None, row: CallRow) -> str | None:
    """What the ledger knows of a record that is not whole says more than its steps do."""
    if row.outcome is None:
        return GOES_ON
    if row.outcome == "crashed":
        return "crashed: its record stops there"
    if flaw is None and not row.complete:
        return "has lost lines of its timeline to a slow disk"
    return flaw


def _nothing(ledger: Reader, row: CallRow) -> str:
    """Why there are no steps at all."""
    if row.outcome is None:
        return GOES_ON
    lines = list(islice(ledger.timeline(row), TIMELINE_LOOKED_AT))
    if any(b'"profile":' in line for line in lines):
        return "was served in a profile that reads no emotions: nothing was decided"
    return "has no steps any more: its readings are forgotten already ([ledger] readings_days)"
