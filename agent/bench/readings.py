"""How old was what the service knew? From its ledger, afterwards, so that asking costs it nothing while it is measured.

The ledger says of each reading when the sound it speaks of was heard and when it was decided upon; the load knows when
it sent the frame that ends there. Both processes are on one machine and share its clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ..calls.stepcode import read
from ..core.steps import Took
from ..ledger.reading import Reader, open_ledger
from .callers import Caller
from .measure import Spread, spread

CALLS = 100
"""So many are looked at: thousands of readings say no more than hundreds."""
WRITTEN_S = 1.5
"""What was kept is on the disk by then."""


@dataclass(frozen=True, slots=True)
class Ages:
    """Milliseconds."""

    frame: Spread | None
    """From the last frame of a hop being sent to its being heard."""
    decision: Spread | None
    """From there to the reading made of it having been decided upon."""
    reading: Spread | None
    """The whole way."""


@dataclass(frozen=True, slots=True)
class Known:
    """A reading, in seconds as `time.time` counts."""

    end_ms: int
    heard_at: float
    decided_at: float


def ages(folder: Path, callers: Sequence[Caller], since: float, until: float) -> Ages:
    """Of the readings that were due between these moments, of some calls. Raises LedgerUnavailable."""
    frame, decision, reading = [], [], []
    with open_ledger(folder) as reader:
        for caller in callers[:: -(-len(callers) // CALLS) or 1]:
            for each in known(reader, caller.call_sid):
                sent_at = caller.sent_at(each.end_ms)
                if sent_at is not None and since <= sent_at < until:
                    frame.append(1000 * (each.heard_at - sent_at))
                    decision.append(1000 * (each.decided_at - each.heard_at))
                    reading.append(1000 * (each.decided_at - sent_at))
    return Ages(spread(frame), spread(decision), spread(reading))


def known(reader: Reader, call_sid: str) -> list[Known]:
    """Every reading of one call that its own engine made."""
    row, record = reader.call(call_sid), read(reader.steps(call_sid))
    if row is None or record.began is None:
        return []
    zero = datetime.fromisoformat(row.began_at).timestamp() - record.began.at
    return [
        Known(step.reading.end_ms, zero + step.reading.heard_at, zero + step.at)
        for step in record.steps
        if isinstance(step, Took) and step.reading.source == "local"
    ]
