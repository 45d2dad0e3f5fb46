"""Exceptions and the groups that nurseries wrap them in.

A nursery that is cancelled while it passes an exception on raises a group of both. No `except Exception` matches such
a group, and the scope that was cancelled takes only its own part out of it: an outage that everybody is ready for would
end the call as a crash, only because the caller hung up in the same moment.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import trio


def alone(error: BaseException) -> BaseException:
    """What a group holds, where it holds one thing only. A cancellation beside it is left out, which loses nothing: it
    comes again at the next wait."""
    if isinstance(error, BaseExceptionGroup):
        error = error.split(trio.Cancelled)[1] or error
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


@contextmanager
def ungrouped() -> Iterator[None]:
    """What is raised in this block leaves it alone."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise alone(group) from None
