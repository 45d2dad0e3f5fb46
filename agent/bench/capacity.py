"""How many calls does a core carry? Twice as many until it is too much, then halfway between."""

from collections.abc import Awaitable, Callable

FINE = 0.1
"""The answer is within this share of itself."""


async def most(
    carries: Callable[[int], Awaitable[bool]], *, first: int, at_most: int, may_go_on: Callable[[], bool]
) -> tuple[int, int | None]:
    """The most calls that were carried, and the fewest that were not; None: as many as were tried were carried.

    `carries` tries a number of calls. It is asked no more once time is up (`may_go_on`), but once at least."""
    good, bad, calls = 0, None, first
    while True:
        if await carries(calls):
            good = calls
        else:
            bad = calls
        if not may_go_on() or good >= at_most or (bad is not None and bad - good <= max(1, FINE * bad)):
            return good, bad
        calls = min(2 * good, at_most) if bad is None else (good + bad) // 2
