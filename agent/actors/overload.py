"""When this machine cannot keep up: analysis gives way, and frames never do.

How late the loop comes to its ticks tells how much more work there is than time, and so does how many lines have more
to say than is listened to: their sound waits in the kernel, and grows old there. While that lasts, calls get fewer
windows (every second one, then every fourth), and then are not listened to at all for a while, a quarter of them at a
time, those that have gone on the longest first: most is known of their callers. Each call says so once in its
timeline. When the ticks have come in time for a while, it all comes back, step by step; the longer the while, the more
often that was too much at once: a machine that is a little too small does a little less, and not all and nothing by
turns.
"""

import math
from itertools import islice
from typing import Final

import structlog
import trio

from ..core.audio import Window
from ..ports import Timeline

log = structlog.get_logger()

LATE_S: Final = 0.06
"""Ticks this late leave no room for what is promised of frames and notes."""
FOR_S: Final = 1.0
"""They must all be late for so long: a single step that takes long is no overload."""
BEHIND: Final = 0.25
"""Of all lines: a burst after a stall on the way does not come to so many at once."""
FEW: Final = 8
"""So many lines say nothing about the machine: a recording may be played into it many times as fast."""
IN_TIME_S: Final = 0.02
CALM_S: Final = 3.0
"""Ticks must be in time for so long before a step is taken back."""
RELAPSE_S: Final = 10.0
"""Whoever is late again so soon after a step back has taken it too early: the next one takes twice as long,"""
MOST_CALM_S: Final = 60.0
"""and so long at the most. After as long without overload, that is forgotten."""
HOPS: Final = (1, 2, 4)
QUARTERS: Final = 4
WORST: Final = len(HOPS) - 1 + QUARTERS
REASON: Final = "overloaded"


class Load:
    """Of all calls together."""

    def __init__(self) -> None:
        self.level = 0
        """How many steps back have been taken: 0 none, `WORST` nobody is listened to."""
        self.episodes = 0
        """How often it has begun."""
        self._shares: dict[Share, None] = {}
        self._late_since = self._calm_since = math.inf
        self._calm_s, self._eased_at = CALM_S, -math.inf
        """How long it must be calm for the next step back; and when the last one was taken."""
        self._behind = False
        self._ticked_at = -math.inf

    def lines_behind(self, behind: int, lines: int) -> None:
        """So many of the lines have more to say than is listened to."""
        self._behind = lines > FEW and behind > BEHIND * lines

    def tick(self, late_s: float) -> None:
        """A tick came so long after its time."""
        now = self._ticked_at = trio.current_time()
        late, calm = late_s > LATE_S or self._behind, late_s < IN_TIME_S and not self._behind
        self._late_since = min(self._late_since, now) if late else math.inf
        self._calm_since = min(self._calm_since, now) if calm else math.inf
        if now - self._late_since >= FOR_S and self.level < WORST:
            if now - self._eased_at < RELAPSE_S:
                self._calm_s, self._eased_at = min(2 * self._calm_s, MOST_CALM_S), -math.inf
            self._step(+1, now)
        elif self.level and now - self._calm_since >= self._calm_s:
            self._eased_at = now
            self._step(-1, now)
        elif not self.level and now - self._eased_at >= MOST_CALM_S:
            self._calm_s = CALM_S

    def _step(self, by: int, now: float) -> None:
        if not self.level:
            self.episodes += 1
            log.warning("engine.overloaded", calls=len(self._shares))
        self.level += by
        self._late_since = self._calm_since = now
        self._choose()
        if not self.level:
            log.info("engine.recovered", calls=len(self._shares))

    def _choose(self) -> None:
        """Who is not listened to: the oldest."""
        quarters = max(0, self.level - len(HOPS) + 1)
        unheard = math.ceil(len(self._shares) * quarters / QUARTERS)
        for share in self._shares:
            share.heard = True
        for share in islice(self._shares, unheard):
            share.heard = False

    @property
    def hop(self) -> int:
        """Of so many windows, one counts."""
        return HOPS[min(self.level, len(HOPS) - 1)]

    def passed_over(self) -> None:
        """A block was not listened to. Where nobody is heard who would say that time goes on, this does."""
        if trio.current_time() - self._ticked_at >= FOR_S:
            self.tick(0.0)

    def join(self, share: "Share") -> None:
        self._shares[share] = None
        if self.level:
            self._choose()

    def leave(self, share: "Share") -> None:
        self._shares.pop(share, None)
        if not self._shares:  # nothing ticks any more, and who comes next finds an idle machine
            self.level, self._late_since, self._calm_since = 0, math.inf, math.inf


class Share:
    """One call's."""

    def __init__(self, load: Load, engine: str, timeline: Timeline) -> None:
        self._load, self._engine, self._timeline = load, engine, timeline
        self.heard = True
        """Its sound is listened to now."""
        self.unheard_blocks = 0
        """That were not, so far."""
        self._passed, self._said = 0, False

    def __enter__(self) -> "Share":
        self._load.join(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._load.leave(self)

    def takes_block(self) -> bool:
        """The next block is to be listened to."""
        if self.heard:
            return True
        self.unheard_blocks += 1
        self._load.passed_over()
        self._say()
        return False

    def takes(self, _: Window) -> bool:
        """This window is to be judged."""
        self._passed += 1
        if self._passed < self._load.hop:
            self._say()
            return False
        self._passed = 0
        if not self._load.level:
            self._say()
        return True

    def _say(self) -> None:
        """That it is degraded, or no longer: once."""
        degraded = self._load.level > 0
        if degraded != self._said:
            self._said = degraded
            event = "analyzer.degraded" if degraded else "analyzer.recovered"
            reason = REASON if degraded else "there is time for it again"
            self._timeline.record(event, engine=self._engine, reason=reason)
