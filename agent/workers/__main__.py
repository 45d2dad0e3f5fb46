"""One worker, as the supervisor starts it: its place comes on standard input. Not for people."""

import os

# Before numpy is imported anywhere: a thread per core in every process helps nobody who analyses many calls.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from ..cli import run
from .worker import work

if __name__ == "__main__":
    run(work)
