"""The calls there are and those there have been, as `GET /calls` lists them: live ones from the directory, all others
from the ledger."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from ..ports import Ledger
from .directory import CallDirectory
from .shown import entry_of

Place = tuple[str, str]
"""Where a call stands in the list, which is sorted by it, the largest first: the instant it began, and its id."""


class Listed(NamedTuple):
    """One call of a list, its entry as JSON."""

    place: Place
    entry: bytes


class History:
    """All functions that wait raise LedgerUnavailable."""

    def __init__(
        self, directory: CallDirectory, ledger: Ledger, others: Callable[[], Awaitable[list[bytes]]] | None = None
    ) -> None:
        """`others`: the entries of calls that live in other workers, where there are any."""
        self._directory, self._ledger, self._others = directory, ledger, others

    async def page(self, limit: int, *, state: str | None = None, before: Place | None = None) -> list[bytes]:
        """The entries of calls of this state (`live`, `ended`, None: both) behind this place, the newest first."""
        live = [] if state == "ended" else self._live()
        others = [] if state == "ended" or self._others is None else _listed(await self._others())
        ended = [] if state == "live" else _listed(await self._ledger.calls(limit, before))
        # What ended elsewhere while it was asked for is in both, and has ended.
        everything = sorted({each.place: each for each in (*others, *ended, *live)}.values(), reverse=True)
        return [each.entry for each in everything if before is None or each.place < before][:limit]

    async def find(self, call_sid: str) -> dict[str, Any] | None:
        """One call's entry; None: nobody knows it."""
        if (live := self._directory.find(call_sid)) is not None:
            return entry_of(live)
        ended = await self._ledger.call(call_sid)
        return None if ended is None else msgspec.json.decode(ended)

    async def place(self, call_sid: str) -> Place | None:
        """Where a call stands in the list."""
        entry = await self.find(call_sid)
        if entry is None and self._others is not None:
            return next((each.place for each in _listed(await self._others()) if each.place[1] == call_sid), None)
        return None if entry is None else (entry["startedAt"], call_sid)

    def _live(self) -> list[Listed]:
        entries = [entry_of(call) for call in self._directory]
        return [
            Listed((str(entry["startedAt"]), str(entry["callSid"])), msgspec.json.encode(entry)) for entry in entries
        ]


class _Begun(msgspec.Struct):
    """What a list is sorted by."""

    startedAt: str
    callSid: str


_begun = msgspec.json.Decoder(_Begun)


def _listed(entries: Iterable[bytes]) -> list[Listed]:
    return [Listed((found.startedAt, found.callSid), entry) for entry in entries for found in (_begun.decode(entry),)]
