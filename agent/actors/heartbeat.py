"""The slow pulse of a call: what was dropped is said, and what happened is brought to the ledger's disk."""

from collections.abc import Callable

import structlog
import trio

from ..errors import LedgerUnavailable
from ..ports import Ledger
from ..rounds import rest

log = structlog.get_logger()


async def beat(ledger: Ledger, *, drops: Callable[[], int], every_s: float) -> None:
    """Beat until cancelled. A ledger that cannot be written is logged and tried again at the next beat."""
    dropped = 0
    while True:
        await rest(every_s)
        if (now_dropped := drops()) != dropped:
            log.warning("call.dropping", blocks=now_dropped - dropped)
            dropped = now_dropped
        await checkpoint(ledger, patience_s=every_s)


async def checkpoint(ledger: Ledger, *, patience_s: float) -> None:
    """Bring the ledger to disk, or say that it could not be done in time."""
    with trio.move_on_after(patience_s) as patience:
        try:
            await ledger.flush()
        except LedgerUnavailable as error:
            log.warning("ledger.unavailable", reason=str(error))
    if patience.cancelled_caught:
        log.warning("ledger.slow", patience_s=patience_s)
