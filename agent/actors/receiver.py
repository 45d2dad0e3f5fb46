"""line -> frames. Never waits for anything but its line, and notices when that has gone quiet."""

from collections.abc import Callable
from math import inf

import trio

from ..core.audio import Block
from ..core.emotion import Outcome
from .channels import Inbox, Outbox


async def receive(
    line: Inbox[Block],
    frames: Outbox[Block],
    *,
    connected: trio.Event,
    connect_within_s: float,
    line_quiet_s: float,
    ended: Callable[[Outcome], None],
    heard_at: Callable[[], float] = lambda: -inf,
    awaited: Callable[[], bool] = lambda: True,
) -> None:
    """Pass blocks on until the line ends, stays away, or goes quiet; `ended` hears of the two latter.

    A carrier sends frames through silence too, so that no frame at all for `line_quiet_s` is a dead line: behind
    tunnels neither a close frame nor a FIN need ever arrive. `heard_at` is when the line's last frame came, where that
    is known: while nobody may listen, frames come and blocks do not. Where audio is not `awaited` at all, that there is
    none says nothing.
    """
    with frames:
        with trio.move_on_after(connect_within_s):
            await connected.wait()
        if not connected.is_set():
            if awaited():
                ended(Outcome.EXPIRED)
                return
            await connected.wait()
        last_at = trio.current_time()
        while True:
            # One deadline for many blocks: when it comes, whether the line was quiet meanwhile shows.
            with trio.CancelScope(deadline=max(last_at, heard_at()) + line_quiet_s) as quiet:
                while True:
                    try:
                        block = await line.receive()
                    except trio.EndOfChannel:
                        return
                    frames.offer(block)
                    del block  # or the last one would stay here as long as no other comes
                    last_at = trio.current_time()
            if quiet.cancelled_caught and max(last_at, heard_at()) + line_quiet_s <= quiet.deadline:
                if not awaited():
                    last_at = trio.current_time()
                    continue
                ended(Outcome.QUIET)
                return
