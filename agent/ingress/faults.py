"""How many messages of a line may be such that nobody can read them."""

import structlog

log = structlog.get_logger()

LIMIT = 50
"""Messages skipped before a line is given up."""
MADE_UP_BY = 50
"""Good frames make up for one of them: a fault a minute is none."""


class Faults:
    """One line's."""

    __slots__ = ("_call_sid", "_count", "_good")

    def __init__(self, call_sid: str) -> None:
        self._call_sid = call_sid
        self._count = self._good = 0

    @property
    def too_many(self) -> bool:
        return self._count >= LIMIT

    def add(self, reason: str) -> None:
        """A message was skipped. The first is said, and the last."""
        self._count += 1
        if self._count in (1, LIMIT):
            log.warning("line.unreadable", call=self._call_sid, reason=reason, count=self._count)

    def made_up_for(self, frames: int) -> None:
        """So many good frames have come."""
        if self._count > 1:  # the first has been said, and is not to be said again
            self._good += frames
            self._count = max(1, self._count - self._good // MADE_UP_BY)
            self._good %= MADE_UP_BY
