"""When a line counts as quiet."""

from collections.abc import Callable

import trio

LOOKS_AGAIN_S = 1.0
"""A tenth of the time that makes a line quiet, at the most so much: for so long the loop runs before a line is quiet.
After the machine has stood still the time may be up for every call, and what was sent meanwhile lie in the kernel."""


async def goes_quiet(heard_at: Callable[[], float], quiet_s: float, over: trio.Event) -> bool:
    """Wait until nothing has been heard for so long (True), or it is `over`. `heard_at`: when something was last heard,
    on the loop's clock."""
    looks_again_s = min(LOOKS_AGAIN_S, quiet_s / 10)
    while not over.is_set():
        last = heard_at()  # one deadline for hundreds of frames: when it comes, whether any came meanwhile shows
        with trio.move_on_at(last + quiet_s - looks_again_s):
            await over.wait()
        if heard_at() > last:
            continue
        with trio.move_on_at(max(last + quiet_s, trio.current_time() + looks_again_s)):
            await over.wait()
        if heard_at() == last and not over.is_set():
            return True
    return False
