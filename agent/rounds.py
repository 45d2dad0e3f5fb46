"""One beat for what is done again and again. Waking an idle processor costs several times what it is woken for, so
whoever may come a little late comes when the lines are read anyway: with 100 calls more than half of all wakings were
for something else.

Of every five rounds, a block's time, one is for whatever is not urgent: so the other four may be none at all.
"""

from math import ceil
from typing import Final

import trio

from .core.frames import BLOCK_MS

BEAT_S: Final = 0.01
"""Between two looks at lines that are urgent or behind."""
BEATS_A_ROUND: Final = 4
ROUND_S: Final = BEATS_A_ROUND * BEAT_S
"""Between two rounds in which all lines are read; rounds lie at its multiples on the loop's clock."""
BLOCK_S: Final = BLOCK_MS / 1000
"""What a call's sound is cut into."""
ROUNDS_A_BLOCK: Final = round(BLOCK_S / ROUND_S)


def round_after(moment: float) -> float:
    """When the next round for what is not urgent is at this time of the loop's clock, or the one that is then."""
    return ceil(moment / BLOCK_S) * BLOCK_S


async def rest(seconds: float) -> None:
    """Sleep so long, and on to the next such round."""
    await trio.sleep_until(round_after(trio.current_time() + seconds))
