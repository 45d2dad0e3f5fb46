"""Calls as the ledger lists them, and what a row must be to be one: a file may have been written by anybody."""

from dataclasses import dataclass, fields
from typing import Any

import msgspec

from ..errors import LedgerUnavailable


@dataclass(frozen=True, slots=True)
class CallRow:
    """What there is of one call beside its timeline. Moments are ISO 8601, UTC, milliseconds."""

    call_sid: str
    began_at: str
    ended_at: str | None
    """None: it goes on, or its process was killed."""
    outcome: str | None
    attach: str | None
    caller: str
    """Masked, the last two digits."""
    model: str
    """Who judged."""
    complete: bool
    """Nothing of its timeline and steps is missing."""
    entry: bytes
    """As `GET /calls` lists it, JSON."""
    id: int
    """Its number in this ledger, higher for later calls; another call of the same id has its own."""

    def listed(self) -> dict[str, Any]:
        """The entry, read. Raises LedgerUnavailable where it is none."""
        try:
            entry = msgspec.json.decode(self.entry, type=dict[str, Any])
            msgspec.convert(entry, _Listed)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise _foreign(self.id) from None
        return entry


_NAMES = [field.name for field in fields(CallRow)]
_COMPLETE = _NAMES.index("complete")
COLUMNS = ", ".join(_NAMES)
"""Of the table of calls, in the order in which `call_row` takes them."""


class _Mood(msgspec.Struct):
    label: str
    score: float
    trend: str


class _Listed(msgspec.Struct):
    """What every entry has at least."""

    mood: _Mood | None


def _foreign(call: object) -> LedgerUnavailable:
    return LedgerUnavailable(f"the ledger cannot be read (call {call!r} is none that Callmood wrote): put a copy back")


def call_row(found: tuple) -> CallRow:  # type: ignore[type-arg]
    """What SQLite found. Raises LedgerUnavailable where no Callmood wrote it."""
    try:
        return msgspec.convert(dict(zip(_NAMES, found, strict=True)) | {"complete": bool(found[_COMPLETE])}, CallRow)
    except msgspec.ValidationError:
        raise _foreign(found[_NAMES.index("id")]) from None
