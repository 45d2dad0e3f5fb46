"""line -> frames. Never waits for anything but its line, and notices when that has gone quiet."""

from collections.abc import Callable

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
) -> None:
    """Pass blocks on until the line ends, stays away, or goes quiet; `ended` hears of the two latter.

    A carrier sends frames through silence too, so that no frame at all for `line_quiet_s` is a dead line: behind
    tunnels neither a close frame nor a FIN need ever arrive.
    """
    with frames:
        with trio.move_on_after(connect_within_s):
            await connected.wait()
        if not connected.is_set():
            ended(Outcome.EXPIRED)
            return
        while True:
            with trio.move_on_after(line_quiet_s) as quiet:
                try:
                    block = await line.receive()
                except trio.EndOfChannel:
                    return
            if quiet.cancelled_caught:
                ended(Outcome.QUIET)
                return
            frames.offer(block)
