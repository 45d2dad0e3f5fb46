"""Watches the line: that it comes, and that it does not go quiet. What it brings goes past here, into `frames`."""

from collections.abc import Callable
from math import inf

import trio

from ..core.emotion import Outcome
from ..rounds import round_after

LOOKS_AGAIN_S = 1.0
"""A tenth of the time that makes a line quiet, at the most so much: for so long the loop runs before a line is quiet.
After the machine has stood still the time may be up for every call, and what was sent meanwhile lie in the kernel."""


async def receive(
    *,
    connected: trio.Event,
    over: trio.Event,
    connect_within_s: float,
    line_quiet_s: float,
    ended: Callable[[Outcome], None],
    heard_at: Callable[[], float] = lambda: -inf,
    awaited: Callable[[], bool] = lambda: True,
) -> None:
    """Watch until the line is `over`, stays away, or goes quiet; `ended` hears of the two latter.

    A carrier sends frames through silence too, so that no frame at all for `line_quiet_s` is a dead line: behind
    tunnels neither a close frame nor a FIN need ever arrive. `heard_at` is when the line's last frame came, kept or
    not. Where audio is not `awaited` at all, that there is none says nothing.
    """
    with trio.move_on_after(connect_within_s):
        await connected.wait()
    if not connected.is_set():
        if awaited():
            ended(Outcome.EXPIRED)
            return
        await connected.wait()
    since = trio.current_time()

    def last_heard_at() -> float:
        return max(since, heard_at())

    while await goes_quiet(last_heard_at, line_quiet_s, over):
        if awaited():
            ended(Outcome.QUIET)
            return
        since = trio.current_time()


async def goes_quiet(heard_at: Callable[[], float], quiet_s: float, over: trio.Event) -> bool:
    """Wait until nothing has been heard for so long (True), or it is `over`. `heard_at`: when something was last heard,
    on the loop's clock."""
    looks_again_s = min(LOOKS_AGAIN_S, quiet_s / 10)
    while not over.is_set():
        last = heard_at()  # one deadline for hundreds of frames: when it comes, whether any came meanwhile shows
        with trio.move_on_at(round_after(last + quiet_s - looks_again_s)):
            await over.wait()
        if heard_at() > last:
            continue
        with trio.move_on_at(max(last + quiet_s, trio.current_time() + looks_again_s)):
            await over.wait()
        if heard_at() == last and not over.is_set():
            return True
    return False
