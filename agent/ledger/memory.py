"""A ledger that forgets with the process: for tests and trials."""

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from itertools import islice

import msgspec

from ..core.destination import masked
from ..core.instants import instant
from .entries import Entry, is_milestone, noted, opened

CALLS_KEPT = 1000


@dataclass(slots=True)
class Kept:
    """What there is of one call."""

    caller: str = ""
    """As it was given: memory is no disk."""
    model: str = ""
    lines: list[bytes] = field(default_factory=list)
    steps: list[bytes] = field(default_factory=list)
    entry: Entry = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return bool(self.entry.get("endedAt"))


class MemoryLedger:
    """Calls by id, the oldest giving way."""

    def __init__(self) -> None:
        self.kept: OrderedDict[str, Kept] = OrderedDict()
        self.texts: dict[str, tuple[str, str]] = {}
        """By hash: kind and text."""

    def begin(self, call_sid: str, *, caller: str, model: str = "") -> None:
        self.kept.pop(call_sid, None)
        self._of(call_sid).caller = caller
        self.kept[call_sid].entry["caller"] = masked(caller)
        self.kept[call_sid].model = model

    def append(self, call_sid: str, line: bytes) -> None:
        kept = self._of(call_sid)
        kept.lines.append(line)
        if is_milestone(line):
            kept.entry = noted(kept.entry, line) or kept.entry

    def keep(self, call_sid: str, step: bytes) -> None:
        self._of(call_sid).steps.append(step)

    def know(self, call_sid: str, kind: str, text: str) -> str:
        name = sha256(text.encode()).hexdigest()
        self.texts[name] = (kind, text)
        return name

    async def flush(self) -> None:
        return

    async def timeline(self, call_sid: str) -> list[bytes]:
        return self.lines_of(call_sid)

    async def call(self, call_sid: str) -> bytes | None:
        kept = self.kept.get(call_sid)
        return None if kept is None or not kept.ended else msgspec.json.encode(kept.entry)

    async def calls(self, limit: int, before: tuple[str, str] | None = None) -> list[bytes]:
        ended = {(kept.entry["startedAt"], sid): kept.entry for sid, kept in self.kept.items() if kept.ended}
        newest_first = sorted((key for key in ended if before is None or key < before), reverse=True)
        return [msgspec.json.encode(ended[key]) for key in islice(newest_first, limit)]

    async def unfinished(self, limit: int) -> list[str]:
        return list(islice((sid for sid, kept in reversed(self.kept.items()) if not kept.ended), limit))

    async def newest(self, call_sids: Collection[str]) -> dict[str, bytes]:
        return {sid: lines[-1] for sid in call_sids if (lines := self.lines_of(sid))}

    async def known(self, call_sids: Collection[str]) -> set[str]:
        return {sid for sid in call_sids if sid in self.kept}

    async def forget(self, call_sid: str) -> bool:
        if call_sid not in self.kept or not self.kept[call_sid].ended:
            return False
        del self.kept[call_sid]
        return True

    # --- for tests, which do not wait ---

    def lines_of(self, call_sid: str) -> list[bytes]:
        """The timeline so far."""
        return list(self.kept[call_sid].lines) if call_sid in self.kept else []

    def steps_of(self, call_sid: str) -> list[bytes]:
        """The steps so far, oldest first."""
        return list(self.kept[call_sid].steps) if call_sid in self.kept else []

    def _of(self, call_sid: str) -> Kept:
        kept = self.kept.setdefault(call_sid, Kept())
        kept.entry = kept.entry or opened(call_sid, instant(datetime.now(UTC)), "")
        while len(self.kept) > CALLS_KEPT:
            self.kept.popitem(last=False)
        return kept
