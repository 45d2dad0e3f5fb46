"""What can be made to go wrong, as a value: set it on a fake, and the next requests suffer it.

vapi.fault = Fault("status", status=429, retry_after=2, times=3)
engine.fault = Fault("stall", until=trio.current_time() + 30)
engine.fault = None                                     # recovered
"""

from dataclasses import dataclass, replace
from typing import Literal

import trio

Kind = Literal[
    "stall", "delay", "crash", "unavailable", "refused", "gone", "refuse_open", "status", "reset", "garbage", "refuse"
]
"""`stall` never answers; `delay` answers after `seconds`; `crash` raises RuntimeError, as a bug would; `unavailable`,
`refused` and `gone` raise the error of that name; `refuse_open` fails when a session is opened; `status`, `reset`,
`garbage` and `refuse` (nobody listens) are for servers."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One way of failing."""

    kind: Kind
    seconds: float = 1.0
    """Loop seconds, for `delay`."""
    status: int = 500
    """For `status`."""
    retry_after: float | None = None
    """Seconds: the header of a `status`, the attribute of an `unavailable`."""
    times: int | None = None
    """How many requests suffer it; None: all, until it is taken away. `refuse` cannot be counted."""
    until: float | None = None
    """Loop time from which it is over."""
    path: str = ""
    """For servers: only requests whose path contains this."""


class FaultPlan:
    """The fault in force, counted down as it is suffered."""

    def __init__(self, *known: Kind) -> None:
        self._known = frozenset(known)
        self._fault: Fault | None = None

    @property
    def fault(self) -> Fault | None:
        """What would be suffered now."""
        fault = self._fault
        if fault is not None and fault.until is not None and trio.current_time() >= fault.until:
            self._fault = None
        return self._fault

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        if fault is not None and fault.kind not in self._known:
            raise ValueError(f"this fake cannot fail by {fault.kind!r}: choose one of {', '.join(sorted(self._known))}")
        self._fault = fault

    def take(self, *kinds: Kind, path: str = "") -> Fault | None:
        """The fault that this request suffers, if it is one of `kinds`."""
        fault = self.fault
        if fault is None or fault.kind not in kinds or fault.path not in path or fault.times == 0:
            return None
        if fault.times is not None:
            self._fault = replace(fault, times=fault.times - 1) if fault.times > 1 else None
        return fault


class Faulty:
    """A fake that can fail as planned. Its plan says how."""

    _faults: FaultPlan

    @property
    def fault(self) -> Fault | None:
        """Suffered from now on; None: everything works. What has stalled stays stalled."""
        return self._faults.fault

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        self._faults.fault = fault
