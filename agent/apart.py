"""Tasks that know nothing of who started them.

A task inherits the context of whoever starts it, and holds it as long as it lives: a call that begins in a webhook
would hold that request to its end, its connection, its headers and the caller's number included.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVarTuple

import trio

Ts = TypeVarTuple("Ts")


def start_apart(nursery: trio.Nursery, work: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> None:
    """`nursery.start_soon` with the context of the nursery's own task."""
    nursery.parent_task.context.copy().run(partial(nursery.start_soon, work, *args))
