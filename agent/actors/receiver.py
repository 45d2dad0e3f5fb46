"""Watches the line: that it comes, and that it does not go quiet. What it brings goes past here, into `frames`."""

from collections.abc import Callable
from math import inf

import trio

from ..calls.quiet import goes_quiet
from ..core.emotion import Outcome


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
