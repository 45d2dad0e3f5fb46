"""A ledger that forgets with the process: for tests and trials."""

from collections import OrderedDict

CALLS_KEPT = 1000


class MemoryLedger:
    """Lines by call, the oldest calls giving way."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, list[bytes]] = OrderedDict()

    def append(self, call_sid: str, line: bytes) -> None:
        self._lines.setdefault(call_sid, []).append(line)
        while len(self._lines) > CALLS_KEPT:
            self._lines.popitem(last=False)

    async def flush(self) -> None:
        return

    async def timeline(self, call_sid: str) -> list[bytes]:
        return list(self._lines.get(call_sid, ()))

    async def milestones(self) -> list[bytes]:
        return [line for lines in self._lines.values() for line in lines if is_milestone(line)]


STARTED, ENDED = b'"event":"call.started"', b'"event":"call.ended"'


def is_milestone(line: bytes) -> bool:
    """Whether a line begins or ends a call."""
    return STARTED in line or ENDED in line
