"""How often something may happen in a minute, whoever asks for it. Pure: the caller says what time it is."""

from collections import deque


class PerMinute:
    """So many in any sixty seconds. Memory is bounded by that number."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._taken: deque[float] = deque(maxlen=per_minute)

    def take(self, now: float) -> bool:
        """Whether one more may happen now; it counts as having happened."""
        if len(self._taken) == self._per_minute and not (self._taken and now - self._taken[0] >= 60.0):
            return False
        self._taken.append(now)
        return True
