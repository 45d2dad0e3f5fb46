"""What a vendor may cost, and when to stop asking it: seconds per call, sessions at once, and a circuit breaker.

One of each stands between all calls and one vendor. A vendor that is down is asked by one call now and then, not by
every call at once; a vendor that refuses us is left alone for a while, because asking again changes nothing.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import trio

from ...errors import EngineRefused, EngineUnavailable

CALLS_REMEMBERED: Final = 10_000
FAILURES: Final = 5
"""Failures in a row, over all calls, after which the vendor counts as down."""
REST_S: Final = 10.0
"""How long a vendor that is down is left alone before one call tries again."""
REFUSED_S: Final = 60.0
"""The same after a refusal: a key does not become right by itself."""


class ShareSpent(EngineRefused):
    """Our own limit, not the vendor's: no reason to leave it alone."""


class Allowance:
    """How much of a vendor all calls together may use."""

    def __init__(self, name: str, *, seconds_per_call: float, sessions: int) -> None:
        self._name, self._share_ms, self._sessions = name, round(1000 * seconds_per_call), sessions
        self._used_ms: OrderedDict[str, int] = OrderedDict()
        self.open = 0
        """Sessions open now."""
        self.used_ms = 0
        """Audio sent so far, over all calls: what is billed."""
        self.dropped_ms = 0
        """Audio that could not be sent in time."""

    @contextmanager
    def session(self, call_sid: str) -> Iterator[None]:
        """A place for one session. Raises EngineUnavailable without one, ShareSpent when the call's share is."""
        if self.left_ms(call_sid) <= 0:
            raise ShareSpent(self.spent)
        if self.open >= self._sessions:
            raise EngineUnavailable(f"all {self._sessions} sessions of {self._name} are in use")
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1

    @property
    def spent(self) -> str:
        """What a call hears that has no share left."""
        return f"this call's {self._share_ms / 1000:g} s of {self._name} are used up: raise hume_seconds_per_call"

    def spend(self, call_sid: str, ms: int) -> bool:
        """Use so much of this call's share. False: it is not there any more."""
        if self.left_ms(call_sid) < ms:
            return False
        self._used_ms[call_sid] = self._used_ms.pop(call_sid, 0) + ms
        self.used_ms += ms
        while len(self._used_ms) > CALLS_REMEMBERED:
            self._used_ms.popitem(last=False)
        return True

    def left_ms(self, call_sid: str) -> int:
        return self._share_ms - self._used_ms.get(call_sid, 0)


class Breaker:
    """Whether a vendor is worth asking now."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._failures = 0
        self._closed_until = 0.0
        self._refusal = ""

    def check(self) -> None:
        """Raises EngineUnavailable or EngineRefused while the vendor is left alone. Whoever passes after that is the
        one call that tries."""
        now = trio.current_time()
        if now < self._closed_until:
            if self._refusal:
                raise EngineRefused(self._refusal)
            raise EngineUnavailable(f"{self._name} is down, and left alone for a moment")
        if self._failures >= FAILURES:
            self._closed_until = now + REST_S  # for the others, until this one is back

    def worked(self) -> None:
        self._failures, self._closed_until, self._refusal = 0, 0.0, ""

    def failed(self, fault: Exception) -> None:
        self._failures = min(FAILURES, self._failures + 1)
        if isinstance(fault, EngineRefused):
            self._refusal, self._closed_until = str(fault), trio.current_time() + REFUSED_S
        elif self._failures >= FAILURES:
            self._refusal, self._closed_until = "", trio.current_time() + REST_S
