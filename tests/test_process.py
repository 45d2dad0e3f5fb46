"""This process as a server."""

import gc

from agent.process import settle


def test_what_is_loaded_when_serving_begins_is_not_looked_through_again():
    kept = [[number] for number in range(1000)]
    gc.collect()
    try:
        settle()
        assert gc.get_freeze_count() > len(kept)
    finally:
        gc.unfreeze()
