"""What has been brought to disk is not held in memory as well."""

import gc
from contextlib import closing
from pathlib import Path

from agent.ledger.store import Store
from agent.ledger.waiting import LINE, Beginning, Kind


def test_what_was_written_is_held_by_no_statement_that_is_kept_for_later(tmp_path: Path) -> None:
    """One that is kept keeps all that was last bound to it, and there is one for each number of calls."""
    with closing(Store(tmp_path)) as store:
        for calls in range(1, 6):
            for n in range(calls):
                sid = f"CA{calls}x{n}"
                begins = (Kind.BEGIN, sid, Beginning("+15550100100", "2026-01-01T00:00:00.000Z", ""))
                store.write([begins, (LINE, sid, b'{"t":0,"event":"audio.chunk"}')])
            store.settle()
        gc.collect()
        assert not [held for held in gc.get_objects() if type(held).__name__ == "Statement"]
