"""How many files this process may have open, sockets included."""

import resource
from math import inf

FILES_A_CALL = 8
"""Its line, in bridge mode Vapi's socket, a message or two under way; and as many for whoever knocks at the door."""
ENOUGH = 10_000
"""Where a system sets no bound but takes no such answer either."""


def raise_file_limit() -> None:
    """Take what the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):  # macOS says that there is no bound, and has one
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, ENOUGH), hard))


def file_limit() -> float:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return inf if soft == resource.RLIM_INFINITY else soft
