"""Keeping an actor at work through other people's outages, with a budget.

An outage is an exception the actor's port has promised (`EngineUnavailable`, say). Anything else is a bug of ours: it
passes through and ends the call. Restarts back off and are counted; when the budget is spent, the actor is only tried
now and then. Meanwhile somebody must keep taking from its inbox, so that closing still travels: that is `meanwhile`.
"""

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

import trio

from ..groups import alone

JITTER = 0.25
"""Share of a pause that is random, so that calls hit by one outage do not come back as one."""


def jittered(seconds: float, share: float = JITTER) -> float:
    """A pause between attempts, this share of it random."""
    return seconds * (1 - share * random.random())


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Restart intensity. `*_s` are seconds."""

    first_s: float = 0.25
    longest_s: float = 8.0
    budget: int = 6
    """Restarts within `within_s`; beyond them only one probe every `probe_s`."""
    within_s: float = 60.0
    probe_s: float = 30.0
    jitter: float = JITTER


USUAL = RestartPolicy()


@dataclass(slots=True)
class Condition:
    """How one actor is doing, for whoever looks in."""

    state: Literal["running", "restarting", "refused", "ended"] = "running"
    """`refused`: what it needs has said no for good, and it is not tried again."""
    restarts: int = 0
    """So far."""
    degraded: bool = False
    """What it needs does not do its part now."""
    failures: Counter[str] = field(default_factory=Counter)
    """How often what it needs has failed, by how."""


class Restarts:
    """One actor's restarts so far."""

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self._recent: list[float] = []
        self._in_a_row = 0

    def delay(self, now: float) -> float:
        """Seconds to wait before the restart that becomes due `now`."""
        policy = self._policy
        if self._recent and now - self._recent[-1] > policy.within_s:
            self._in_a_row = 0
        spent = len(self._recent) == policy.budget and now - self._recent[0] < policy.within_s
        self._recent.append(now)
        del self._recent[: -policy.budget]
        delay = policy.probe_s if spent else min(policy.longest_s, policy.first_s * 2.0**self._in_a_row)
        self._in_a_row = min(self._in_a_row + 1, 16)
        return jittered(delay, policy.jitter)


async def keep_running(
    attempt: Callable[[], Awaitable[None]],
    meanwhile: Callable[[], Awaitable[None]],
    *,
    outages: tuple[type[Exception], ...],
    final: tuple[type[Exception], ...],
    note: Callable[[Exception], None],
    policy: RestartPolicy | None = None,
    condition: Condition | None = None,
) -> None:
    """Run `attempt` until it returns, restarting it after `outages` and never after `final`.

    Both functions read the same inbox and return when it has ended, which ends this one too, at once. `condition` says
    how it goes.
    """
    restarts, condition = Restarts(policy or USUAL), condition or Condition()
    while True:
        try:
            condition.state = "running"
            await attempt()
            return
        except Exception as error:
            outage = alone(error)
            if not isinstance(outage, (*outages, *final)):
                raise
            assert isinstance(outage, Exception)
        note(outage)
        if isinstance(outage, final):
            condition.state = "refused"
            await meanwhile()
            return
        condition.state = "restarting"
        with trio.move_on_after(restarts.delay(trio.current_time())):
            await meanwhile()
            return
        condition.restarts += 1
